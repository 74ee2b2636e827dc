"""The catalogue of properties over HTTP, with the models that serve each."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.properties.catalogue import CATALOGUE, PropertySpec, TaskType, Transform
from app.registry.deps import StoreDep
from app.registry.manifest import InputKind, Manifest
from app.registry.models import ModelVersion
from app.registry.service import RegistryService
from app.web.deps import SessionDep

router = APIRouter(prefix="/v1/properties", tags=["properties"])


class ServingModel(BaseModel):
    """A champion that predicts the property."""

    name: str = Field(examples=["cgcnn-formation-energy"], description="Name of the model.")
    version: int = Field(description="Counts from 1 within the model.", examples=[1])
    input_kind: InputKind = Field(description="What it predicts from.")
    only_when_named: bool = Field(description="Answers only requests that name it in `models`.", examples=[False])
    test_mae: float | None = Field(
        description="Mean absolute error on held-out rows, in the property's unit.", examples=[0.0242]
    )


class PropertyRead(BaseModel):
    """A predictable quantity; values are always in `unit`."""

    key: str = Field(description="Name in requests and answers.", examples=["k_vrh"])
    label: str = Field(description="Name for people.", examples=["bulk modulus (VRH)"])
    unit: str = Field(description="Unit of every value; `1` for a plain number.", examples=["GPa"])
    definition: str = Field(
        description="What exactly it is: method, per what.", examples=["Kohn-Sham band gap, DFT (PBE), 0 K."]
    )
    task_type: TaskType = Field(description="What kind of answer it is.")
    transform: Transform = Field(description="The scale models learn on; answers are never transformed.")
    models: list[ServingModel] = Field(description="Champions that predict it now.")


class PropertyList(BaseModel):
    """The catalogue and the properties of users' models."""

    items: list[PropertyRead] = Field(description="One for each property.")


@router.get("", summary="Properties, their units, definitions and models")
def list_properties(session: SessionDep, store: StoreDep) -> PropertyList:
    """The catalogue, and after it the properties that users defined for models of their own."""
    specs: dict[str, PropertySpec] = dict(CATALOGUE)
    serving: dict[str, list[ServingModel]] = {}
    for version in RegistryService(session, store).champions():
        manifest = Manifest.model_validate(version.manifest)
        specs.setdefault(manifest.property.key, manifest.property.to_spec())
        serving.setdefault(manifest.property.key, []).append(_serving_model(version, manifest))
    return PropertyList(items=[_read(spec, serving.get(key, [])) for key, spec in specs.items()])


def _serving_model(version: ModelVersion, manifest: Manifest) -> ServingModel:
    return ServingModel(
        name=version.model_name,
        version=version.version,
        input_kind=manifest.input_kind,
        only_when_named=manifest.only_when_named,
        test_mae=manifest.metrics.test.mae if manifest.metrics.test is not None else None,
    )


def _read(spec: PropertySpec, models: list[ServingModel]) -> PropertyRead:
    return PropertyRead(
        key=spec.key,
        label=spec.label,
        unit=spec.unit,
        definition=spec.definition,
        task_type=spec.task_type,
        transform=spec.transform,
        models=models,
    )
