"""Movable pointers to immutable versions: compare-and-set, an append-only history, rollback."""

from sqlalchemy.orm import Session

from app.core.errors import AliasNotFound, ModelNotFound, ModelVersionNotFound, NothingToRollBack, PreconditionFailed
from app.core.orm import utc_now
from app.core.tenancy import require_writable
from app.registry.models import ModelAlias, ModelAliasChange, RegisteredModel
from app.registry.references import check_alias
from app.registry.repository import RegistryRepository

SET, ROLLBACK, DELETE = "set", "rollback", "delete"

ABSENT = 0
"""The revision of an alias that does not exist."""


class AliasService:
    """All changes lock the model's row first, so that two of them never interleave.

    `expected_revision` is what the caller last saw (`ABSENT` = no such alias); PreconditionFailed when the alias has
    moved since. None moves it whatever it is.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._registry = RegistryRepository(session)

    def get(self, name: str, alias: str) -> ModelAlias:
        """The alias, or AliasNotFound naming those there are."""
        found = self._registry.alias(name, alias)
        if found is None:
            known = ", ".join(a.alias for a in self._registry.aliases_of([name])) or "none"
            raise AliasNotFound(f"Model {name} has no alias {alias!r}. Its aliases: {known}.")
        return found

    def set(
        self, name: str, alias: str, version: int, reason: str = "", expected_revision: int | None = None
    ) -> ModelAlias:
        """Point the alias at a version; nothing is recorded when it points there already."""
        check_alias(alias)
        owner, current = self._locked(name, alias, expected_revision)
        if current is not None and current.version == version:
            return current
        if not self._registry.live_versions_among(name, [version]):
            raise ModelVersionNotFound(f"Model {name} has no version {version} that an alias could point at.")
        return self._move(owner, alias, current, version, SET, reason)

    def delete(self, name: str, alias: str, reason: str = "", expected_revision: int | None = None) -> None:
        """Remove the alias; its history stays."""
        owner, current = self._locked(name, alias, expected_revision)
        if current is None:
            raise AliasNotFound(f"Model {name} has no alias {alias!r}.")
        self._record(owner, alias, DELETE, current.version, None, reason)
        self._registry.remove(current)

    def rollback(self, name: str, alias: str, reason: str = "", expected_revision: int | None = None) -> ModelAlias:
        """Point the alias where it pointed before its last move, stepping over versions deleted since.

        Rolling back again goes one step further back. A removed alias comes back.
        """
        owner, current = self._locked(name, alias, expected_revision)
        changes = self._registry.alias_changes(name, alias)
        if not changes:
            raise AliasNotFound(f"Model {name} never had an alias {alias!r}.")
        earlier = [version for version in _stack(changes)[:-1] if version is not None]
        live = self._registry.live_versions_among(name, earlier)
        present = current.version if current is not None else None
        target = next((version for version in reversed(earlier) if version in live and version != present), None)
        if target is None:
            raise NothingToRollBack(f"Alias {alias!r} of model {name} has pointed at no other version before.")
        return self._move(owner, alias, current, target, ROLLBACK, reason)

    def history(self, name: str, alias: str) -> list[ModelAliasChange]:
        """Every move, newest first; AliasNotFound when there was never such an alias."""
        changes = self._registry.alias_changes(name, alias)
        if not changes:
            raise AliasNotFound(f"Model {name} never had an alias {alias!r}.")
        return changes[::-1]

    def _locked(
        self, name: str, alias: str, expected_revision: int | None
    ) -> tuple[RegisteredModel, ModelAlias | None]:
        model = self._registry.lock_model(name)
        if model is None:
            raise ModelNotFound(f"There is no model {name!r}.")
        require_writable(self._session, model)
        current = self._registry.alias(name, alias)
        revision = current.revision if current is not None else ABSENT
        if expected_revision is not None and revision != expected_revision:
            where = f"points at version {current.version} now" if current is not None else "does not exist now"
            raise PreconditionFailed(f"Alias {alias!r} of model {name} was changed meanwhile: it {where}.")
        return model, current

    def _move(
        self, model: RegisteredModel, alias: str, current: ModelAlias | None, version: int, kind: str, reason: str
    ) -> ModelAlias:
        previous = current.version if current is not None else None
        if current is None:
            current = ModelAlias(tenant=model.tenant, model_name=model.name, alias=alias)
        current.version = version
        # Counting the whole history, so that a removed and recreated alias never shows an old revision again.
        current.revision = len(self._registry.alias_changes(model.name, alias)) + 1
        current.updated_at = utc_now()
        self._registry.add(current)
        self._record(model, alias, kind, previous, version, reason)
        return current

    def _record(
        self,
        model: RegisteredModel,
        alias: str,
        kind: str,
        from_version: int | None,
        to_version: int | None,
        reason: str,
    ) -> None:
        self._registry.add(
            ModelAliasChange(
                tenant=model.tenant, model_name=model.name, alias=alias, kind=kind, from_version=from_version,
                to_version=to_version, reason=reason,
            )
        )  # fmt: skip


def _stack(changes: list[ModelAliasChange]) -> list[int | None]:
    """Where the alias has been, without the moves that were rolled back; the last entry is where it is."""
    stack: list[int | None] = []
    for change in changes:
        if change.kind != ROLLBACK:
            stack.append(change.to_version)
            continue
        stack.pop()
        while stack and stack[-1] != change.to_version:
            stack.pop()
    return stack
