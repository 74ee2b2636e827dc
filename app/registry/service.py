"""Models and their versions: registering, finding, loading and deleting them. It flushes; the caller commits."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from sqlalchemy.orm import Session

from app.core.cursor import decode_cursor, encode_cursor
from app.core.errors import ModelMismatch, ModelNotFound, ModelVersionInUse, ModelVersionNotFound
from app.core.logging import get_logger
from app.core.orm import utc_now
from app.core.tenancy import own_tenant, require_writable
from app.core.tenants import SHARED
from app.registry.aliases import AliasService
from app.registry.files import VersionFiles, require_matching
from app.registry.manifest import InputKind, Manifest
from app.registry.models import ModelVersion, RegisteredModel
from app.registry.references import CHAMPION, check_model_name, parse_reference
from app.registry.repository import RegistryRepository
from app.registry.shipped import ShippedModel, read_shipped
from app.registry.store import ArtifactStore

SHIPPED, FINE_TUNING, IMPORT = "shipped", "fine_tuning", "import"

_ANSWER = ("network", "graph", "scaling", "property", "trust")
"""What decides, beside the weights, what a model answers."""

_AFTER_ALL_VERSIONS = 2**31 - 1

log = get_logger(__name__)


class RegistryService:
    """The registry within one transaction."""

    def __init__(self, session: Session, store: ArtifactStore) -> None:
        self._session = session
        self._registry = RegistryRepository(session)
        self.files = VersionFiles(store)
        self.aliases = AliasService(session)

    def register_version(
        self,
        manifest: Manifest,
        weights: bytes,
        card: str,
        source: str,
        parent_id: str | None = None,
        dataset_id: str | None = None,
        job_id: str | None = None,
        *,
        promote: bool = True,
        trust: bytes | None = None,
    ) -> ModelVersion:
        """Add the next version of the model the manifest names; the first one becomes its `champion`.

        Not with `promote` off: then it answers by its number only, until somebody promotes it.
        A job registers once: later calls return its version. Raises ArtifactCorrupt when weights or `trust` are not
        those of the manifest, ModelMismatch when the name stands for another property or input kind, InvalidName.
        """
        name = manifest.name
        require_matching(manifest, weights, trust)
        owner = self.reserve(manifest, SHARED if source == SHIPPED else None).tenant
        if job_id is not None and (registered := self._registry.version_of_job(job_id)) is not None:
            return registered
        prefix = self.files.write(manifest, weights, card, trust)
        version = ModelVersion(
            id=f"mv_{uuid4().hex}",
            tenant=owner,
            model_name=name,
            version=self._registry.last_version_number(name) + 1,
            architecture=manifest.architecture,
            weights_sha256=manifest.weights_sha256,
            artifact_prefix=prefix,
            size_bytes=len(weights),
            manifest=manifest.model_dump(mode="json"),
            source=source,
            parent_id=parent_id or self._parent_id(manifest),
            dataset_id=dataset_id,
            job_id=job_id,
        )
        self._registry.add(version)
        if version.version == 1 and promote:
            self.aliases.set(name, CHAMPION, 1, reason="first version")
        log.info("model version registered", model=name, version=version.version, source=source)
        return version

    def register_shipped(self, folder: Path) -> list[ModelVersion]:
        """Register the shipped versions that are not registered yet; returns those it added.

        Safe at every start and in several processes at once. A newer shipped version becomes the champion only where
        the champion was the shipped version before it: what a user promoted stays. Raises ArtifactCorrupt.
        """
        added = [self._register_shipped(shipped) for shipped in read_shipped(folder)]
        return [version for version in added if version is not None]

    def _register_shipped(self, shipped: ShippedModel) -> ModelVersion | None:
        manifest, name = shipped.manifest, shipped.manifest.name
        self.reserve(manifest, SHARED)
        same = self._registry.versions_by_weights(name, manifest.weights_sha256)
        # The same weights may ship again, with intervals that the version before had not.
        if any(version.source == SHIPPED and self.files.manifest(version).trust == manifest.trust for version in same):
            return None
        previous = self._registry.last_version_number(name, SHIPPED)
        version = self.register_version(manifest, shipped.weights(), shipped.card(), SHIPPED, trust=shipped.trust())
        if previous and self.aliases_of([name])[name].get(CHAMPION) == previous:
            self.aliases.set(name, CHAMPION, version.version, reason=f"shipped in place of version {previous}")
        return version

    def reserve(self, manifest: Manifest, owner: str | None = None) -> RegisteredModel:
        """Lock the model the manifest names, creating it when it is new, until the transaction ends.

        `owner` None = the session's tenant. Raises InvalidName, ModelMismatch when the name stands for another property
        or input kind, and SharedReadOnly when it is that of a shared model which the session may not change.
        """
        check_model_name(manifest.name)
        model = self._registry.lock_model(manifest.name)
        if model is None:
            model = RegisteredModel(
                tenant=owner or own_tenant(self._session),
                name=manifest.name,
                property_key=manifest.property.key,
                input_kind=manifest.input_kind,
                description=manifest.description,
            )
            self._registry.insert_model(model)
            model = self._registry.lock_model(manifest.name)
            assert model is not None
        require_writable(self._session, model)
        require_same_kind(model, manifest.property.key, manifest.input_kind)
        return model

    def resolve(self, reference: str) -> ModelVersion:
        """The version meant by `NAME` (its champion), `NAME@ALIAS` or `NAME/3`.

        Raises InvalidName, ModelNotFound, AliasNotFound or ModelVersionNotFound.
        """
        wanted = parse_reference(reference)
        self.get_model(wanted.name)
        number = wanted.version
        if number is None:
            assert wanted.alias is not None
            number = self.aliases.get(wanted.name, wanted.alias).version
        return self.get_version(wanted.name, number)

    def find_equal(self, manifest: Manifest) -> ModelVersion | None:
        """The newest version of the same model that answers as this manifest's would."""
        for version in reversed(self._registry.versions_by_weights(manifest.name, manifest.weights_sha256)):
            known = self.files.manifest(version)
            if version.deleted_at is None and all(getattr(known, part) == getattr(manifest, part) for part in _ANSWER):
                return version
        return None

    def champions(
        self, property_keys: Sequence[str] | None = None, input_kind: InputKind | None = None
    ) -> list[ModelVersion]:
        """The champion of every model that predicts one of the properties from that kind of input; None = any."""
        return self._registry.versions_with_alias(CHAMPION, property_keys, input_kind)

    def get_model(self, name: str) -> RegisteredModel:
        """The model, or ModelNotFound with the names nearest to it."""
        model = self._registry.model(name)
        if model is None:
            known = self._registry.model_names()
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:5]
            hint = f" Did you mean {' or '.join(near)}?" if near else " None is registered."
            raise ModelNotFound(f"There is no model {name!r}.{hint}")
        return model

    def get_version(self, name: str, number: int) -> ModelVersion:
        """The version, or ModelVersionNotFound, which says so when it was deleted."""
        self.get_model(name)
        version = self._registry.version(name, number)
        if version is None:
            last = self._registry.last_version_number(name)
            raise ModelVersionNotFound(f"Model {name} has no version {number}; the newest is {last}.")
        if version.deleted_at is not None:
            raise ModelVersionNotFound(
                f"Version {number} of model {name} was deleted at {version.deleted_at:%F %T} UTC."
            )
        return version

    def list_models(
        self,
        cursor: str | None,
        limit: int,
        property_key: str | None = None,
        input_kind: InputKind | None = None,
    ) -> tuple[list[RegisteredModel], str | None]:
        """A page of models by name, and the cursor of the next page."""
        after = str(decode_cursor(cursor, str)[0]) if cursor else ""
        found = self._registry.models_after(after, limit + 1, property_key, input_kind)
        following = encode_cursor(found[limit - 1].name) if len(found) > limit else None
        return found[:limit], following

    def list_versions(self, name: str, cursor: str | None, limit: int) -> tuple[list[ModelVersion], str | None]:
        """A page of versions, newest first, and the cursor of the next page."""
        self.get_model(name)
        before = int(decode_cursor(cursor, int)[0]) if cursor else _AFTER_ALL_VERSIONS
        found = self._registry.versions_before(name, before, limit + 1)
        following = encode_cursor(found[limit - 1].version) if len(found) > limit else None
        return found[:limit], following

    def aliases_of(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        """Alias -> version number of each model."""
        aliases: dict[str, dict[str, int]] = {name: {} for name in names}
        for alias in self._registry.aliases_of(names):
            aliases[alias.model_name][alias.alias] = alias.version
        return aliases

    def versions_at(self, alias: str, names: Sequence[str]) -> list[ModelVersion]:
        """The version that the alias points at in each of the models that have it."""
        return self._registry.versions_at(alias, names)

    def lineage(self, version: ModelVersion) -> tuple[list[ModelVersion], list[ModelVersion]]:
        """The chain of versions this one's weights came from, nearest first, and the versions started from it."""
        ancestors: list[ModelVersion] = []
        parent_id = version.parent_id
        while parent_id is not None and (parent := self._registry.version_by_id(parent_id)) is not None:
            ancestors.append(parent)
            parent_id = parent.parent_id
        return ancestors, self._registry.children(version.id)

    def delete_version(self, name: str, number: int) -> None:
        """Mark a version as deleted; its number is never given again.

        Raises ModelVersionInUse when an alias points at it, another version started from it or a job needs it.
        """
        self._registry.lock_model(name)
        version = self.get_version(name, number)
        require_writable(self._session, version)
        is_shared = version.tenant == SHARED
        called = f"Version {number} of model {name}"
        pointing = [alias for alias, at in self.aliases_of([name])[name].items() if at == number]
        if pointing:
            raise ModelVersionInUse(f"{called} is what {', '.join(pointing)} points at: move the alias first.")
        if children := self._registry.children(version.id, everywhere=is_shared):
            named = ", ".join(f"{child.model_name}/{child.version}" for child in children[:5])
            raise ModelVersionInUse(f"{called} is the parent of {named}: delete those first.")
        if jobs := self._registry.open_jobs_naming(version.id, everywhere=is_shared):
            raise ModelVersionInUse(f"{called} is needed by {', '.join(jobs[:5])}: wait for the job or cancel it.")
        version.deleted_at = utc_now()
        log.info("model version deleted", model=name, version=number)

    def _parent_id(self, manifest: Manifest) -> str | None:
        if manifest.parent is None:
            return None
        same = self._registry.versions_by_weights(manifest.parent.name, manifest.parent.weights_sha256)
        return same[0].id if same else None


def require_same_kind(model: RegisteredModel, property_key: str, input_kind: str) -> None:
    """ModelMismatch unless the model stands for that property and that kind of input."""
    if (model.property_key, model.input_kind) != (property_key, input_kind):
        raise ModelMismatch(
            f"Model {model.name} predicts {model.property_key} from a {model.input_kind}; this one predicts "
            f"{property_key} from a {input_kind}. Choose another name."
        )
