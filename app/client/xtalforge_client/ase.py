"""A calculator for ASE whose energy is a formation energy. Needs `ase`.

It has no forces and no stress: the models predict properties of a crystal as it stands, and were trained on relaxed
ones. Use it to compare and rank structures, not to relax them or to run dynamics.
"""

from collections.abc import Sequence
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from xtalforge_client._sync.client import Client
from xtalforge_client.errors import InputsFailed, XtalforgeClientError
from xtalforge_client.models import Prediction

PER_ATOM = "formation_energy_per_atom"


class XtalforgeCalculator(Calculator):
    """`energy` in eV: the predicted formation energy per atom times the number of atoms.

    It counts from the elements in their standard states, so that it is no total energy of a DFT code: differences
    between arrangements of the same atoms are meaningful, those between different compositions are once the elements'
    own energies are taken to be zero. All that was predicted is in `results` under the keys of the properties
    (`results["band_gap"]`, in the units of the API) and, with intervals and domain, in `predictions`.

    `models` name the models, the first of which that predicts formation energies gives the energy; without it the
    champion of formation energies answers. Forces and stress raise ASE's PropertyNotImplementedError.
    """

    implemented_properties = ["energy"]  # noqa: RUF012

    def __init__(
        self,
        client: Client,
        models: Sequence[str] | None = None,
        properties: Sequence[str] = (PER_ATOM,),
        **settings: Any,
    ) -> None:
        super().__init__(**settings)  # type: ignore[no-untyped-call]
        self.client = client
        self.models = list(models) if models is not None else None
        self.asked_properties = list(properties)
        self.predictions: list[Prediction] = []

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:  # fmt: skip
        """Ask the server. Raises InputsFailed for atoms that cannot be used, such as molecules."""
        super().calculate(atoms, list(properties), list(system_changes))  # type: ignore[no-untyped-call]
        asked: dict[str, Any] = {"models": self.models} if self.models else {"properties": self.asked_properties}
        answer = self.client.predict(self.atoms, **asked)
        if not answer.predictions:
            raise InputsFailed(answer.errors)
        self.predictions = answer.predictions
        found: dict[str, float] = {}
        for each in answer.predictions:
            found.setdefault(each.property, each.value)
        if PER_ATOM not in found:
            raise XtalforgeClientError(f"none of the models predicts {PER_ATOM}, which `energy` is made of.")
        self.results = {**found, "energy": found[PER_ATOM] * len(self.atoms or ())}
