"""Candidates that are made rather than sent: what a request says of them."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from app.bulk.filtering import ElementSymbol
from app.predictions.examples import DIAMOND_POSCAR, NACL_CIF

MAX_STRUCTURES = 100
MAX_ENDS = 6
MAX_STEPS = 1000


class PrototypeName(StrEnum):
    """Structure types by the compound they are named after."""

    ROCKSALT = "rocksalt"
    CESIUM_CHLORIDE = "cesium_chloride"
    ZINCBLENDE = "zincblende"
    WURTZITE = "wurtzite"
    NICKEL_ARSENIDE = "nickel_arsenide"
    FLUORITE = "fluorite"
    ANTIFLUORITE = "antifluorite"
    RUTILE = "rutile"
    PEROVSKITE = "perovskite"
    DOUBLE_PEROVSKITE = "double_perovskite"
    SPINEL = "spinel"
    ALPHA_NAFEO2 = "alpha_nafeo2"
    CHALCOPYRITE = "chalcopyrite"
    HALF_HEUSLER = "half_heusler"
    FULL_HEUSLER = "full_heusler"
    B2 = "b2"
    L12 = "l12"


class _Generator(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    charge_balanced: StrictBool = Field(
        default=True,
        description="Only what common oxidation states make neutral, anions being more electronegative than every "
        "cation. Intermetallic prototypes (`half_heusler`, `full_heusler`, `b2`, `l12`) are not held to it.",
    )


Window = tuple[Annotated[float, Field(ge=0, le=10)], Annotated[float, Field(ge=0, le=10)]]


class PerovskiteFit(BaseModel):
    """Which ions fit into a perovskite, by Shannon's radii."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: Window = Field(
        default=(0.8, 1.1),
        description="Goldschmidt's tolerance factor t = (r_A + r_X) / (√2 (r_B + r_X)), lowest and highest; near 1 "
        "perovskites are not distorted.",
        examples=[[0.8, 1.1]],
    )
    octahedral: Window = Field(
        default=(0.37, 0.9),
        description="Octahedral factor r_B / r_X, lowest and highest; far below 0.41 B is too small for six "
        "neighbours.",
        examples=[[0.37, 0.9]],
    )

    @model_validator(mode="after")
    def _lowest_first(self) -> Self:
        for name, (low, high) in (("tolerance", self.tolerance), ("octahedral", self.octahedral)):
            if low > high:
                raise ValueError(f"`{name}` is the lowest and then the highest, not {low:g} and then {high:g}")
        return self


class PrototypeGenerator(_Generator):
    """Every choice of elements for the sites of structure types."""

    kind: Literal["prototypes"] = Field(description="Which kind of generator this is.")
    prototypes: tuple[PrototypeName, ...] = Field(
        default=tuple(PrototypeName), min_length=1, description="Structure types; default: all."
    )
    sites: dict[Annotated[str, Field(pattern="^[A-DX]$")], tuple[ElementSymbol, ...]] = Field(
        default={},
        description="Elements to put on a site: `A`, `B`, ... as the prototypes name them, `X` the anion of ionic "
        "ones. A site that is not listed takes `elements`.",
        examples=[{"A": ["Ca", "Sr", "Ba"], "B": ["Ti", "Zr", "Hf", "Sn"], "X": ["O", "S"]}],
    )
    elements: tuple[ElementSymbol, ...] | None = Field(
        default=None,
        min_length=1,
        description="Elements for every other site; default: all that are stable enough.",
        examples=[["Li", "Na", "K", "F", "Cl"]],
    )
    perovskite_fit: PerovskiteFit | None = Field(
        default=None,
        description="Of `perovskite` and `double_perovskite` only those whose ions fit, `{}` for the usual limits; "
        "what has an ion without a tabulated radius is left out. Other structure types are not held to it.",
        examples=[None],
    )


class TemplateStructure(BaseModel):
    """A structure to substitute into; exactly one of `cif`, `poscar`, `structure`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str | None = Field(
        default=None, min_length=1, max_length=100, description="Your name for it.", examples=["spinel"]
    )
    cif: str | None = Field(default=None, description="CIF text of one structure.", examples=[NACL_CIF])
    poscar: str | None = Field(
        default=None, description="VASP POSCAR text, with element symbols.", examples=[DIAMOND_POSCAR]
    )
    structure: dict[str, Any] | None = Field(
        default=None,
        description="A pymatgen `Structure.as_dict()`, ASE JSON or OPTIMADE structure.",
        examples=[
            {"numbers": [55, 17], "positions": [[0, 0, 0], [2.06, 2.06, 2.06]], "cell": [4.12, 4.12, 4.12], "pbc": True}
        ],
    )

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if sum(each is not None for each in (self.cif, self.poscar, self.structure)) != 1:
            raise ValueError("give exactly one of cif, poscar, structure")
        return self


class SubstitutionGenerator(_Generator):
    """Elements of given structures exchanged for others, the cell scaled with the radii."""

    kind: Literal["substitutions"] = Field(description="Which kind of generator this is.")
    structures: tuple[TemplateStructure, ...] = Field(
        min_length=1, max_length=MAX_STRUCTURES, description="Structures to substitute elements in."
    )
    substitutions: dict[ElementSymbol, tuple[ElementSymbol, ...]] = Field(
        min_length=1,
        description="For an element of the structures, those that may take its place; list the element itself to keep "
        "it as one of the choices. Elements that are not listed stay.",
        examples=[{"Sr": ["Ca", "Sr", "Ba"], "Ti": ["Zr", "Hf"]}],
    )


class SolidSolutionGenerator(BaseModel):
    """Compositions between end members, for models that read compositions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["solid_solution"] = Field(description="Which kind of generator this is.")
    ends: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        min_length=2, max_length=MAX_ENDS, description="Formulas of the end members.", examples=[["BaTiO3", "SrTiO3"]]
    )
    steps: int = Field(
        default=20, ge=1, le=MAX_STEPS, description="Amounts of the ends are whole multiples of 1 / `steps`."
    )


Generator = Annotated[PrototypeGenerator | SubstitutionGenerator | SolidSolutionGenerator, Field(discriminator="kind")]
