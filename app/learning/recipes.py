"""What the shipped models are trained on and how: data, not code."""

from dataclasses import dataclass, field, replace
from typing import Any

from app.learning.hyperparameters import Hyperparameters
from app.learning.row_filter import Only, RowFilter
from app.registry.manifest import Architecture


@dataclass(frozen=True, slots=True)
class Pretext:
    """What is learned before any label is seen: to tell noise from the lengths of edges, and elements that are hidden.

    `spread`: standard deviation of the noise, Å. `hidden_share`: of the atoms.
    """

    spread: float
    hidden_share: float
    hyperparameters: Hyperparameters


@dataclass(frozen=True, slots=True)
class Recipe:
    """One shipped model.

    `rows` says which rows of `file` it sees. One that is `only_when_named` is no default answer to its property.
    `base` names the shipped version it starts from; with a `pretext`, labels train only what follows the
    representation that this leaves. Rows of the formulas `always_train` never measure the model.
    """

    name: str
    architecture: Architecture
    property_key: str
    file: str
    label_column: str
    dataset: str
    licence: str
    description: str
    rows: RowFilter = field(default_factory=RowFilter)
    scope: str = ""
    only_when_named: bool = False
    version: int = 1
    base: int | None = None
    always_train: tuple[str, ...] = ()
    pretext: Pretext | None = None
    network: dict[str, object] = field(default_factory=dict)
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)

    @property
    def full_scope(self) -> str:
        """`scope`, and the size of cells where that was bounded."""
        bound = self.rows.max_sites
        cells = f"Trained on cells of at most {bound} atoms: errors on larger ones are not known." if bound else ""
        return " ".join(part for part in (self.scope, cells) if part)


_MP = (
    "Materials Project (matbench_v0.1 mp_gap with formation energies joined from matbench mp_e_form), 94,946 structures"
)
CGCNN_NETWORK: dict[str, object] = {"activation": "silu", "atom_feature_dim": 96}
"""Shape of the shipped CGCNN models: SiLU learns faster than softplus, see the README's Decisions."""

_CGCNN_TRAINING = Hyperparameters(
    max_epochs=40,
    patience=40,
    batch_size=64,
    learning_rate=3e-3,
    weight_decay=1e-2,
    kept_weights="best",
    split="formula_hash",
    train_fraction=0.85,
    val_fraction=0.05,
)


def _of_mp(name: str, architecture: Architecture, description: str, **changes: Any) -> Recipe:
    """A model of structures of the Materials Project, of their formation energy unless `changes` say otherwise."""
    usual: dict[str, Any] = {
        "property_key": "formation_energy_per_atom",
        "file": "source_mp_structures_106k.parquet",
        "label_column": "formation_energy_eV_per_atom",
        "dataset": _MP,
        "licence": "CC BY 4.0 (Materials Project)",
    }
    return Recipe(name=name, architecture=architecture, description=description, **usual | changes)


def _cgcnn(name: str, description: str, **changes: Any) -> Recipe:
    usual = {"network": CGCNN_NETWORK, "hyperparameters": _CGCNN_TRAINING}
    return _of_mp(name, Architecture.CGCNN, description, **usual | changes)


_SCHNET_TRAINING = _CGCNN_TRAINING.model_copy(
    update={"max_epochs": 60, "patience": 60, "learning_rate": 2e-3, "weight_decay": 1e-4}
)
_TARGET_OXIDES = "target_tmo_fe_ti_v_cr_mn_11825.parquet"


def _schnet(name: str, description: str, **changes: Any) -> Recipe:
    """Arch 1 of Krawczuk & Venturi 2020, per atom, on cells of at most 20 atoms: what a CPU learns in half an hour."""
    usual = {
        "rows": RowFilter(max_sites=20), "hyperparameters": _SCHNET_TRAINING,
        "only_when_named": True,
    }  # fmt: skip
    return _of_mp(name, Architecture.SCHNET, description, **usual | changes)


_GAP = {"property_key": "band_gap", "label_column": "band_gap_pbe_eV"}
_NARROW = [512, 512, 512, 512, 256, 256, 128, 128, 64]
"""Widths of hidden layers: a quarter of the weights of the original 17-layer network."""

_FIRST = (
    _cgcnn(
        "cgcnn-formation-energy",
        "CGCNN for the formation energy of inorganic crystals (PBE, Materials Project).",
        hyperparameters=_CGCNN_TRAINING.model_copy(update={"max_epochs": 60, "patience": 60}),
    ),
    _cgcnn("cgcnn-band-gap", "CGCNN for the PBE band gap of inorganic crystals, metals (gap 0) included.", **_GAP),
    _cgcnn(
        "cgcnn-band-gap-nonmetal",
        "CGCNN for the PBE band gap of materials known not to be metals (Lee & Asahi 2021).",
        **_GAP,
        rows=RowFilter(lower=0.1, bound_reason="metals: PBE gap of 0.1 eV or less"),
        scope="Only for materials known to be no metals: trained on PBE gaps above 0.1 eV, it cannot answer 0.",
    ),
    _cgcnn(
        "cgcnn-denoising",
        "A source for transfer: its representation of inorganic crystals has seen no label, but learned to tell noise "
        "from the lengths of bonds, and hidden elements from their surroundings (Materials Project). What follows it "
        "answers with the formation energy.",
        scope="As a source for models of what depends on how stiff bonds are: elastic moduli, phonons.",
        only_when_named=True,
        pretext=Pretext(0.2, 0.15, _CGCNN_TRAINING.model_copy(update={"max_epochs": 20, "kept_weights": "last"})),
        hyperparameters=_CGCNN_TRAINING.model_copy(update={"max_epochs": 10, "patience": 10}),
    ),
    _schnet(
        "schnet-formation-energy",
        "SchNet for the formation energy of inorganic crystals (PBE, Materials Project).",
    ),
    _schnet(
        "schnet-formation-energy-no-tmo",
        "SchNet for the formation energy of inorganic crystals (PBE, Materials Project) but for the oxides of Fe, Ti, "
        "V, Cr and Mn: a source for transfer to these (Krawczuk & Venturi 2020).",
        rows=RowFilter(
            max_sites=20,
            only=(Only("oxide_tm", "", "oxides of Fe, Ti, V, Cr or Mn"),),
            without_formulas_of=(_TARGET_OXIDES,),
        ),
        scope="As a source for models of oxides of Fe, Ti, V, Cr and Mn, which it has never seen.",
    ),
    Recipe(
        name="elemnet-formation-energy",
        architecture=Architecture.ELEMNET,
        property_key="formation_energy_per_atom",
        file="source_oqmd_composition_341k.parquet",
        label_column="formation_enthalpy_eV_per_atom",
        dataset="OQMD compositions (CrabNet 2.0.8 benchmark data)",
        licence="CC BY 4.0 (OQMD)",
        description="17-layer ElemNet for the formation enthalpy from the composition alone (PBE, OQMD).",
        rows=RowFilter(lower=-5.0, upper=5.0, bound_reason="broken calculations: formation enthalpy beyond 5 eV/atom"),
        hyperparameters=Hyperparameters(
            max_epochs=50,
            patience=50,
            batch_size=1024,
            learning_rate=1e-3,
            weight_decay=1e-4,
            split="formula_hash",
            train_fraction=0.81,
            val_fraction=0.09,
            precision="bfloat16",
        ),
    ),
    _of_mp(
        "elemnet-band-gap",
        Architecture.ELEMNET,
        "A narrow ElemNet on physical attributes for the PBE band gap from the composition alone, metals included.",
        **_GAP,
        scope="Compositions whose structure is not known: polymorphs differ, and it answers about their median.",
        network={"features": "physical_attributes", "n_features": 145, "widths": _NARROW, "dropout": 0.1},
        hyperparameters=_CGCNN_TRAINING.model_copy(
            update={"max_epochs": 30, "patience": 30, "batch_size": 512, "learning_rate": 1e-3}
        ),
    ),
)

_SILICA = (
    "Version 1 had never seen SiO2: its split by formula held out all 227 polymorphs, and it missed their gaps by "
    "3.6 eV. This version goes on from it with SiO2 in training; the other test rows are unseen by both."
)


def _with_silica(recipe: Recipe) -> Recipe:
    """The second version of a band gap model: a few epochs more, from the first, with SiO2 in training."""
    longer = recipe.hyperparameters.model_copy(update={"max_epochs": 6, "patience": 6, "learning_rate": 5e-4})
    return replace(
        recipe,
        version=2,
        base=1,
        always_train=("O2Si",),
        description=f"{recipe.description} {_SILICA}",
        hyperparameters=longer,
    )


_SECOND = tuple(
    _with_silica(recipe)
    for recipe in _FIRST
    if recipe.property_key == "band_gap" and recipe.architecture is Architecture.CGCNN
)

RECIPES: dict[str, Recipe] = {f"{recipe.name}/{recipe.version}": recipe for recipe in (*_FIRST, *_SECOND)}
"""Keyed by NAME/VERSION."""
