"""Which models answer a request, remembered for a moment: a burst of requests asks the database once."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.tenancy import of_tenant
from app.core.tenants import TenantScope
from app.learning.graphs.settings import GraphSettings
from app.predictions.selection import SelectedModel, graph_settings, refuse_unserved
from app.registry.artifact import Artifact, StoredVersion
from app.registry.manifest import Manifest
from app.registry.models import ModelVersion
from app.registry.service import RegistryService
from app.registry.store import ArtifactStore

FRESH_S = 0.5
"""How long a move of an alias by another process may stay unseen; one by this process is seen at once."""

RENEWED_AFTER = 0.5
"""Share of that time after which an answer that is still asked for is renewed beside, so that nobody waits for it."""

_MAX_SELECTIONS = 256
_MAX_MANIFESTS = 256
_WRITTEN = "predictions_directory_written"

_Key = tuple[TenantScope | None, tuple[str, ...] | None, tuple[str, ...] | None]


class ModelDirectory:
    """Selections of models by what requests name. Thread-safe; opens short read-only transactions of its own.

    `scope` says whose models are seen. It may be left out only where `sessions` are bound to a tenant already.
    """

    def __init__(self, sessions: sessionmaker[Session], store: ArtifactStore, fresh_s: float = FRESH_S) -> None:
        self._sessions = sessions
        self._store = store
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._generation = 0
        self._selections: dict[_Key, tuple[float, list[SelectedModel]]] = {}
        self._renewed: set[_Key] = set()
        self._described: dict[str, tuple[Manifest, GraphSettings | None]] = {}
        for name in ("after_flush", "after_bulk_update", "after_bulk_delete"):
            event.listen(sessions, name, _note_write)
        event.listen(sessions, "after_commit", self._after_commit)

    def select(
        self, models: Sequence[str] | None, properties: Sequence[str] | None, scope: TenantScope | None = None
    ) -> list[SelectedModel]:
        """The named models, or the champions of these properties, or every champion; each version once.

        Champions that answer only when they are named are not among the others.

        Raises ModelNotFound, ModelVersionNotFound, AliasNotFound, PropertyNotFound; nothing of that is remembered.
        """
        found = self.remembered(models, properties, scope)
        return found if found is not None else self.ask(models, properties, scope)

    def ask(
        self, models: Sequence[str] | None, properties: Sequence[str] | None, scope: TenantScope | None = None
    ) -> list[SelectedModel]:
        """As `select`, of the database, whatever is remembered."""
        key = _key(models, properties, scope)
        with self._lock:
            generation = self._generation
        # Counted from before the question: the answer may be that old.
        until = time.monotonic() + self._fresh_s
        try:
            selected = self._found(models, properties, scope)
        finally:
            with self._lock:
                self._renewed.discard(key)
        with self._lock:
            if generation == self._generation:
                if len(self._selections) >= _MAX_SELECTIONS:
                    self._selections.clear()
                self._selections[key] = (until, selected)
        return selected

    def remembered(
        self, models: Sequence[str] | None, properties: Sequence[str] | None, scope: TenantScope | None = None
    ) -> list[SelectedModel] | None:
        """What `select` would give, where that is known; it never waits for the database."""
        with self._lock:
            until, found = self._selections.get(_key(models, properties, scope), (0.0, []))
        return found if time.monotonic() < until else None

    def is_to_renew(
        self, models: Sequence[str] | None, properties: Sequence[str] | None, scope: TenantScope | None = None
    ) -> bool:
        """Whether what is remembered will soon be too old. Only the first to learn it is told so: it has to `ask`."""
        key = _key(models, properties, scope)
        with self._lock:
            until, _ = self._selections.get(key, (0.0, []))
            if key in self._renewed or time.monotonic() < until - (1 - RENEWED_AFTER) * self._fresh_s:
                return False
            self._renewed.add(key)
            return True

    def load(self, version: StoredVersion) -> Artifact:
        """The files of a version, verified. Raises ArtifactCorrupt."""
        with open_session(self._sessions, read_only=True) as session:
            return RegistryService(session, self._store).files.artifact(version)

    def _found(
        self, models: Sequence[str] | None, properties: Sequence[str] | None, scope: TenantScope | None
    ) -> list[SelectedModel]:
        sessions = self._sessions if scope is None else of_tenant(self._sessions, scope)
        with open_session(sessions, read_only=True) as session:
            registry = RegistryService(session, self._store)
            if models is not None:
                versions = [registry.resolve(reference) for reference in dict.fromkeys(models)]
            else:
                versions = registry.champions(property_keys=list(properties) if properties is not None else None)
            unique = {version.id: version for version in versions}.values()
            selected = [self._selected(registry, version, is_named=models is not None) for version in unique]
            selected = [model for model in selected if model.is_named or not model.manifest.only_when_named]
        refuse_unserved(selected, properties)
        return selected

    def of(self, scope: TenantScope) -> "TenantDirectory":
        """This directory, as the tenant sees it."""
        return TenantDirectory(self, scope)

    def _selected(self, registry: RegistryService, version: ModelVersion, *, is_named: bool) -> SelectedModel:
        described = self._described.get(version.id)
        if described is None:
            manifest = registry.files.manifest(version)
            described = (manifest, graph_settings(manifest))
            with self._lock:
                if len(self._described) >= _MAX_MANIFESTS:
                    self._described.clear()
                self._described[version.id] = described
        manifest, graph = described
        return SelectedModel(version.stored(), manifest, graph, frozenset(manifest.elements), is_named)

    def _after_commit(self, session: Session) -> None:
        if session.info.pop(_WRITTEN, False):
            with self._lock:
                self._generation += 1
                self._selections.clear()


class TenantDirectory:
    """A directory that shows one tenant's models."""

    def __init__(self, directory: ModelDirectory, scope: TenantScope) -> None:
        self._directory = directory
        self._scope = scope

    def select(self, models: Sequence[str] | None, properties: Sequence[str] | None) -> list[SelectedModel]:
        """See `ModelDirectory.select`."""
        return self._directory.select(models, properties, self._scope)

    def load(self, version: StoredVersion) -> Artifact:
        """See `ModelDirectory.load`."""
        return self._directory.load(version)

    def ask(self, models: Sequence[str] | None, properties: Sequence[str] | None) -> list[SelectedModel]:
        """See `ModelDirectory.ask`."""
        return self._directory.ask(models, properties, self._scope)

    def is_to_renew(self, models: Sequence[str] | None, properties: Sequence[str] | None) -> bool:
        """See `ModelDirectory.is_to_renew`."""
        return self._directory.is_to_renew(models, properties, self._scope)

    def remembered(self, models: Sequence[str] | None, properties: Sequence[str] | None) -> list[SelectedModel] | None:
        """See `ModelDirectory.remembered`."""
        return self._directory.remembered(models, properties, self._scope)


def _key(models: Sequence[str] | None, properties: Sequence[str] | None, scope: TenantScope | None) -> _Key:
    names = tuple(models) if models is not None else None
    return scope, names, tuple(properties) if properties is not None else None


def _note_write(context: Any, *_: Any) -> None:
    # The events hand over the session itself, or an object that holds it.
    session: Session = getattr(context, "session", context)
    session.info[_WRITTEN] = True
