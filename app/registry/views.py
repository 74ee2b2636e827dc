"""Rows of the registry as what is said over HTTP."""

from collections.abc import Mapping, Sequence

from app.registry.manifest import InputKind, Manifest
from app.registry.models import ModelAlias, ModelAliasChange, ModelVersion, RegisteredModel
from app.registry.references import CHAMPION
from app.registry.schemas import AliasChangeRead, AliasRead, ModelRead, ModelVersionRead, ParentRead
from app.registry.service import RegistryService


def read_versions(registry: RegistryService, versions: Sequence[ModelVersion]) -> list[ModelVersionRead]:
    """The versions with the aliases that point at them."""
    aliases = registry.aliases_of(sorted({version.model_name for version in versions}))
    return [_version(version, registry.files.manifest(version), aliases[version.model_name]) for version in versions]


def read_models(registry: RegistryService, models: Sequence[RegisteredModel]) -> list[ModelRead]:
    """The models with their champions."""
    champions = registry.versions_at(CHAMPION, [model.name for model in models])
    read = {version.name: version for version in read_versions(registry, champions)}
    aliases = registry.aliases_of([model.name for model in models])
    return [
        ModelRead(
            name=model.name,
            property_key=model.property_key,
            input_kind=InputKind(model.input_kind),
            description=model.description,
            aliases=aliases[model.name],
            champion=read.get(model.name),
            created_at=model.created_at,
        )
        for model in models
    ]


def read_alias(alias: ModelAlias) -> AliasRead:
    return AliasRead(
        name=alias.model_name,
        alias=alias.alias,
        version=alias.version,
        revision=alias.revision,
        updated_at=alias.updated_at,
    )


def read_alias_change(change: ModelAliasChange) -> AliasChangeRead:
    return AliasChangeRead(
        kind=change.kind,
        from_version=change.from_version,
        to_version=change.to_version,
        reason=change.reason,
        changed_at=change.changed_at,
    )


def _version(version: ModelVersion, manifest: Manifest, aliases: Mapping[str, int]) -> ModelVersionRead:
    parent = manifest.parent
    return ModelVersionRead(
        name=version.model_name,
        version=version.version,
        id=version.id,
        property=manifest.property,
        input_kind=manifest.input_kind,
        architecture=manifest.architecture,
        method=manifest.training.method,
        description=manifest.description,
        scope=manifest.scope,
        metrics=manifest.metrics,
        elements=manifest.elements,
        source=version.source,
        dataset=manifest.training.dataset,
        dataset_id=version.dataset_id,
        job_id=version.job_id,
        parent=ParentRead(name=parent.name, version=parent.version, sha256=parent.weights_sha256) if parent else None,
        aliases=sorted(alias for alias, number in aliases.items() if number == version.version),
        sha256=version.weights_sha256,
        size_bytes=version.size_bytes,
        created_at=version.created_at,
    )
