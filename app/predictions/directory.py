"""Which models answer a request, remembered for a moment: a burst of requests asks the database once."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.learning.graphs.settings import GraphSettings
from app.predictions.selection import SelectedModel, refuse_unserved
from app.registry.artifact import Artifact
from app.registry.manifest import Manifest
from app.registry.models import ModelVersion
from app.registry.service import RegistryService
from app.registry.store import ArtifactStore

FRESH_S = 0.5
"""How long a move of an alias by another process may stay unseen; one by this process is seen at once."""

_MAX_SELECTIONS = 256
_MAX_MANIFESTS = 256
_WRITTEN = "predictions_directory_written"

_Key = tuple[tuple[str, ...] | None, tuple[str, ...] | None]


class ModelDirectory:
    """Selections of models by what requests name. Thread-safe; opens short read-only transactions of its own."""

    def __init__(self, sessions: sessionmaker[Session], store: ArtifactStore, fresh_s: float = FRESH_S) -> None:
        self._sessions = sessions
        self._store = store
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._generation = 0
        self._selections: dict[_Key, tuple[float, list[SelectedModel]]] = {}
        self._described: dict[str, tuple[Manifest, GraphSettings | None]] = {}
        for name in ("after_flush", "after_bulk_update", "after_bulk_delete"):
            event.listen(sessions, name, _note_write)
        event.listen(sessions, "after_commit", self._after_commit)

    def select(self, models: Sequence[str] | None, properties: Sequence[str] | None) -> list[SelectedModel]:
        """The named models, or the champions of these properties, or every champion; each version once.

        Champions that answer only when they are named are not among the others.

        Raises ModelNotFound, ModelVersionNotFound, AliasNotFound, PropertyNotFound; nothing of that is remembered.
        """
        key = (tuple(models) if models is not None else None, tuple(properties) if properties is not None else None)
        with self._lock:
            generation = self._generation
            until, found = self._selections.get(key, (0.0, []))
        if time.monotonic() < until:
            return found
        # Counted from before the question: the answer may be that old.
        until = time.monotonic() + self._fresh_s
        selected = self._ask(models, properties)
        with self._lock:
            if generation == self._generation:
                if len(self._selections) >= _MAX_SELECTIONS:
                    self._selections.clear()
                self._selections[key] = (until, selected)
        return selected

    def load(self, version: ModelVersion) -> Artifact:
        """The files of a version, verified. Raises ArtifactCorrupt."""
        with open_session(self._sessions, read_only=True) as session:
            return RegistryService(session, self._store).artifact(version)

    def _ask(self, models: Sequence[str] | None, properties: Sequence[str] | None) -> list[SelectedModel]:
        with open_session(self._sessions, read_only=True) as session:
            registry = RegistryService(session, self._store)
            if models is not None:
                versions = [registry.resolve(reference) for reference in models]
            else:
                versions = registry.champions(property_keys=list(properties) if properties is not None else None)
            unique = {version.id: version for version in versions}.values()
            selected = [self._selected(registry, version, is_named=models is not None) for version in unique]
            selected = [model for model in selected if model.is_named or not model.manifest.only_when_named]
        refuse_unserved(selected, properties)
        return selected

    def _selected(self, registry: RegistryService, version: ModelVersion, *, is_named: bool) -> SelectedModel:
        described = self._described.get(version.id)
        if described is None:
            manifest = registry.manifest(version)
            described = (manifest, _graph_settings(manifest))
            with self._lock:
                if len(self._described) >= _MAX_MANIFESTS:
                    self._described.clear()
                self._described[version.id] = described
        manifest, graph = described
        return SelectedModel(version, manifest, graph, frozenset(manifest.elements), is_named)

    def _after_commit(self, session: Session) -> None:
        if session.info.pop(_WRITTEN, False):
            with self._lock:
                self._generation += 1
                self._selections.clear()


def _note_write(context: Any, *_: Any) -> None:
    # The events hand over the session itself, or an object that holds it.
    session: Session = getattr(context, "session", context)
    session.info[_WRITTEN] = True


def _graph_settings(manifest: Manifest) -> GraphSettings | None:
    if manifest.graph is None:
        return None
    try:
        return GraphSettings.model_validate(manifest.graph)
    except ValidationError:
        # The engine says so when it loads the model, in the answer of that model alone.
        return None
