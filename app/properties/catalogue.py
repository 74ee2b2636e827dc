"""The catalogue of properties: key, unit, definition and the scale a model learns on, declared once."""

from dataclasses import dataclass
from enum import StrEnum

from app.core.errors import InvalidInput, PropertyNotFound

FORMATION_ENERGY, DENOISING = "formation_energy_per_atom", "denoising"
"""What a pretrained model may have learned: the first also key of a property, the second without any label."""


class Transform(StrEnum):
    """How a label is mapped before a network sees it. Users only ever see the physical value."""

    IDENTITY = "identity"
    LOG10 = "log10"


class TaskType(StrEnum):
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True)
class PropertySpec:
    """One predictable quantity.

    `definition` says which functional, per what, and on which materials; `lower`/`upper` bound what a label may
    physically be, in `unit`, both inclusive (None = unbounded). `best_start`: what a model should have learned whose
    weights go on to this property, the key of a property or DENOISING, as measured (benchmarks/results/
    transferability).
    """

    key: str
    label: str
    unit: str
    definition: str
    task_type: TaskType = TaskType.REGRESSION
    transform: Transform = Transform.IDENTITY
    lower: float | None = None
    upper: float | None = None
    best_start: str = FORMATION_ENERGY


_SPECS = (
    PropertySpec(
        key=FORMATION_ENERGY,
        label="formation energy",
        unit="eV/atom",
        definition="Energy of formation from the elements' standard states, per atom, DFT (PBE, GGA+U where the "
        "database uses it), 0 K.",
        lower=-10.0,
        upper=10.0,
    ),
    PropertySpec(
        key="energy_above_hull",
        label="energy above hull",
        unit="eV/atom",
        definition="Energy above the convex hull of stable phases, per atom, DFT (PBE), 0 K.",
        lower=0.0,
        upper=20.0,
    ),
    PropertySpec(
        key="band_gap",
        label="band gap (PBE)",
        unit="eV",
        definition="Kohn-Sham band gap, PBE. It underestimates measured gaps, typically by 30-50 %. 0 for metals.",
        lower=0.0,
        upper=30.0,
        best_start="band_gap",
    ),
    PropertySpec(
        key="band_gap_gllbsc",
        label="band gap (GLLB-SC)",
        unit="eV",
        definition="Quasi-particle band gap, GLLB-SC functional.",
        lower=0.0,
        upper=40.0,
        best_start="band_gap",
    ),
    PropertySpec(
        key="band_gap_scan",
        label="band gap (SCAN)",
        unit="eV",
        definition="Kohn-Sham band gap, SCAN functional.",
        lower=0.0,
        upper=40.0,
        best_start="band_gap",
    ),
    PropertySpec(
        key="band_gap_experimental",
        label="band gap (experiment)",
        unit="eV",
        definition="Measured band gap.",
        lower=0.0,
        upper=30.0,
        best_start="band_gap",
    ),
    PropertySpec(
        key="k_vrh",
        label="bulk modulus (VRH)",
        unit="GPa",
        definition="Bulk modulus, Voigt-Reuss-Hill average of the DFT (PBE) elastic tensor. Learned as log10.",
        transform=Transform.LOG10,
        lower=0.01,
        upper=2000.0,
        best_start=DENOISING,
    ),
    PropertySpec(
        key="g_vrh",
        label="shear modulus (VRH)",
        unit="GPa",
        definition="Shear modulus, Voigt-Reuss-Hill average of the DFT (PBE) elastic tensor. Learned as log10.",
        transform=Transform.LOG10,
        lower=0.01,
        upper=2000.0,
        best_start=DENOISING,
    ),
    PropertySpec(
        key="dielectric_total",
        label="dielectric constant (total)",
        unit="1",
        definition="Static relative permittivity, electronic + ionic, polycrystalline average, DFPT (PBE). Learned as "
        "log10.",
        transform=Transform.LOG10,
        lower=1.0,
        upper=10000.0,
        best_start=DENOISING,
    ),
    PropertySpec(
        key="dielectric_electronic",
        label="dielectric constant (electronic)",
        unit="1",
        definition="High-frequency relative permittivity, polycrystalline average, DFPT (PBE). Learned as log10.",
        transform=Transform.LOG10,
        lower=1.0,
        upper=10000.0,
    ),
    PropertySpec(
        key="refractive_index",
        label="refractive index",
        unit="1",
        definition="Static refractive index, square root of the electronic dielectric constant, DFPT (PBE).",
        lower=1.0,
        upper=100.0,
    ),
    PropertySpec(
        key="last_phdos_peak",
        label="last phonon DOS peak",
        unit="cm-1",
        definition="Frequency of the highest peak of the phonon density of states, DFPT (PBEsol).",
        lower=0.0,
        upper=10000.0,
        best_start=DENOISING,
    ),
    PropertySpec(
        key="total_energy_per_atom",
        label="total energy",
        unit="eV/atom",
        definition="DFT total energy per atom (VASP, PBE, GGA+U where the database uses it), 0 K. Its zero is that of "
        "the pseudopotentials: only differences mean something.",
        lower=-100.0,
        upper=100.0,
    ),
    PropertySpec(
        key="fermi_energy",
        label="Fermi energy",
        unit="eV",
        definition="Fermi energy, DFT (VASP, PBE, GGA+U where the database uses it), against the average potential in "
        "the cell. It is no work function.",
        lower=-50.0,
        upper=50.0,
    ),
    PropertySpec(
        key="poisson_ratio",
        label="Poisson's ratio",
        unit="1",
        definition="Isotropic Poisson's ratio (3K - 2G) / (6K + 2G) of the Voigt-Reuss-Hill averages, DFT (PBE).",
        lower=-1.0,
        upper=0.5,
    ),
)

CATALOGUE: dict[str, PropertySpec] = {spec.key: spec for spec in _SPECS}


def get_property(key: str) -> PropertySpec:
    """The property of that key, or PropertyNotFound naming the ones there are."""
    try:
        return CATALOGUE[key]
    except KeyError:
        known = ", ".join(CATALOGUE)
        raise PropertyNotFound(f"There is no property {key!r}. Known: {known}.") from None


def property_label(key: str) -> str:
    """What people call it; a property of the user's own goes by its key."""
    return CATALOGUE[key].label if key in CATALOGUE else key


def resolve_property(key: str, unit: str | None = None, transform: Transform | None = None) -> PropertySpec:
    """A catalogue entry, or a property of the user's own when `unit` is given (definition: theirs).

    Raises PropertyNotFound without a unit; InvalidInput when a catalogue key is given another unit.
    """
    if key in CATALOGUE:
        spec = CATALOGUE[key]
        if unit is not None and unit != spec.unit:
            raise InvalidInput(
                f"{key} is in {spec.unit} here, not in {unit}: convert the values or choose another key."
            )
        return spec
    if unit is None:
        get_property(key)
    return PropertySpec(
        key=key,
        label=key.replace("_", " "),
        unit=unit or "1",
        definition="Defined by the user who uploaded the data.",
        transform=transform or Transform.IDENTITY,
    )


def best_start(key: str) -> str:
    """What a model should have learned whose weights go on to this property; formation energy for unknown ones."""
    spec = CATALOGUE.get(key)
    return FORMATION_ENERGY if spec is None else spec.best_start
