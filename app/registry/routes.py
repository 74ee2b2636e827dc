"""The calls under /v1/models: models, versions and their artifacts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Response

from app.core.errors import ArtifactCorrupt, ModelNotFound, ModelVersionInUse, ModelVersionNotFound
from app.registry.alias_routes import router as alias_router
from app.registry.deps import ModelName, RegistryDep
from app.registry.export import export_zip
from app.registry.manifest import InputKind
from app.registry.models import ModelVersion
from app.registry.schemas import LineageRead, ModelCardRead, ModelRead, ModelVersionRead
from app.registry.views import read_models, read_versions
from app.web.pagination import Page, PageCursor, PageLimit
from app.web.problems import problem_responses

JSON, MARKDOWN, ZIP = "application/json", "text/markdown", "application/zip"

router = APIRouter(prefix="/v1/models", tags=["models"])
# Not included: a route of an included router does not know its whole path, by which requests are counted and checked.
router.routes.extend(alias_router.routes)

VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="A version of the model.", examples=[1])]

_VERSION = "/{name}/versions/{version}"


def _version(registry: RegistryDep, name: ModelName, version: VersionNumber) -> ModelVersion:
    return registry.get_version(name, version)


VersionDep = Annotated[ModelVersion, Depends(_version)]


@router.get("", responses=problem_responses(), summary="Models with their champions")
def list_models(
    registry: RegistryDep,
    property_key: Annotated[str | None, Query(alias="property", description="Only models of this property.")] = None,
    input_kind: Annotated[InputKind | None, Query(description="Only models of this kind of input.")] = None,
    limit: PageLimit = 50,
    cursor: PageCursor = None,
) -> Page[ModelRead]:
    """All models by name."""
    models, following = registry.list_models(cursor, limit, property_key, input_kind)
    return Page(items=read_models(registry, models), next=following)


@router.get("/{name}", responses=problem_responses(ModelNotFound), summary="One model")
def get_model(registry: RegistryDep, name: ModelName) -> ModelRead:
    """A model, its aliases and the version that answers for it."""
    return read_models(registry, [registry.get_model(name)])[0]


@router.get("/{name}/versions", responses=problem_responses(ModelNotFound), summary="Versions of a model")
def list_versions(
    registry: RegistryDep, name: ModelName, limit: PageLimit = 50, cursor: PageCursor = None
) -> Page[ModelVersionRead]:
    """Newest first."""
    versions, following = registry.list_versions(name, cursor, limit)
    return Page(items=read_versions(registry, versions), next=following)


@router.get(_VERSION, responses=problem_responses(ModelNotFound, ModelVersionNotFound), summary="One version")
def get_version(registry: RegistryDep, version: VersionDep) -> ModelVersionRead:
    """What it predicts, how well, and how it was made."""
    return read_versions(registry, [version])[0]


@router.delete(
    _VERSION,
    status_code=204,
    responses=problem_responses(ModelNotFound, ModelVersionNotFound, ModelVersionInUse),
    summary="Delete a version",
)
def delete_version(registry: RegistryDep, name: ModelName, version: VersionNumber) -> None:
    """Refused while an alias points at it, another version was trained from it or a job needs it. The number is never
    given again."""
    registry.delete_version(name, version)


@router.get(
    _VERSION + "/card",
    response_model=None,
    responses={
        **problem_responses(ModelNotFound, ModelVersionNotFound, ArtifactCorrupt),
        200: {
            "description": "The card: Markdown, or JSON when that is asked for by `Accept`.",
            "content": {MARKDOWN: {"schema": {"type": "string"}}, JSON: {}},
            "model": ModelCardRead,
        },
    },
    summary="Model card",
)
def get_card(
    registry: RegistryDep, version: VersionDep, accept: Annotated[str, Header(include_in_schema=False)] = MARKDOWN
) -> Response | ModelCardRead:
    """What the model predicts, how well, on what it was trained, where it should not be used."""
    card = registry.files.card(version)
    if JSON in accept and MARKDOWN not in accept:
        manifest = registry.files.manifest(version)
        return ModelCardRead(
            version=read_versions(registry, [version])[0], training=manifest.training, trust=manifest.trust,
            markdown=card,
        )  # fmt: skip
    return Response(card, media_type=MARKDOWN)


@router.get(_VERSION + "/lineage", responses=problem_responses(ModelNotFound, ModelVersionNotFound), summary="Lineage")
def get_lineage(registry: RegistryDep, version: VersionDep) -> LineageRead:
    """The chain of versions its weights came from, and the versions that came from it."""
    ancestors, children = registry.lineage(version)
    return LineageRead(
        version=read_versions(registry, [version])[0],
        ancestors=read_versions(registry, ancestors),
        children=read_versions(registry, children),
    )


@router.get(
    _VERSION + "/download",
    response_class=Response,
    responses={
        **problem_responses(ModelNotFound, ModelVersionNotFound, ArtifactCorrupt),
        200: {"description": "A zip.", "content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}},
    },
    summary="Download",
)
def download(registry: RegistryDep, version: VersionDep) -> Response:
    """Manifest (JSON), weights (safetensors) and card: all that is needed to use the model elsewhere."""
    file_name = f"{version.model_name}-{version.version}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
    return Response(export_zip(registry, version), media_type=ZIP, headers=headers)
