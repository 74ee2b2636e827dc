# Written by app/client/generate.py: edit _async/registry.py instead.
"""Models, their versions, and the aliases that point at them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from xtalforge_client._sync.jobs import all_pages
from xtalforge_client._sync.transport import Transport
from xtalforge_client.calls import Call
from xtalforge_client.models import (
    AliasChangeRead,
    AliasHistory,
    AliasRead,
    LineageRead,
    ModelCardRead,
    ModelRead,
    ModelVersionRead,
)

_MODEL = "/v1/models/{name}"
_VERSION = _MODEL + "/versions/{version}"
_ALIAS = _MODEL + "/aliases/{alias}"


class Models:
    """Models are lines of immutable versions; aliases move, and remember where they were."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        property: str | None = None,
        input_kind: Literal["structure", "composition"] | None = None,
    ) -> Iterator[ModelRead]:
        """All models by name, or those of one property or kind of input."""
        params = {"property": property, "input_kind": input_kind}
        for item in all_pages(self._transport, Call("GET", "/v1/models", params=params)):
            yield ModelRead.model_validate(item)

    def get(self, name: str) -> ModelRead:
        return self._transport.ask(Call("GET", _MODEL, {"name": name}), ModelRead)

    def versions(self, name: str) -> Iterator[ModelVersionRead]:
        """Newest first."""
        for item in all_pages(self._transport, Call("GET", _MODEL + "/versions", {"name": name})):
            yield ModelVersionRead.model_validate(item)

    def version(self, name: str, version: int) -> ModelVersionRead:
        return self._transport.ask(_of_version("GET", "", name, version), ModelVersionRead)

    def delete_version(self, name: str, version: int) -> None:
        """Raises Conflict while an alias, a later version or a job needs it."""
        values = {"name": name, "version": version}
        self._transport.send(Call("DELETE", _VERSION, values, is_repeatable=False))

    def card(self, name: str, version: int) -> ModelCardRead:
        """What it predicts, how well, and where it should not be used; `markdown` is for people."""
        call = Call("GET", _VERSION + "/card", _values(name, version), headers={"Accept": "application/json"})
        return self._transport.ask(call, ModelCardRead)

    def lineage(self, name: str, version: int) -> LineageRead:
        """The versions its weights came from, and those that came from it."""
        return self._transport.ask(_of_version("GET", "/lineage", name, version), LineageRead)

    def save(self, name: str, version: int, target: Path) -> Path:
        """Download manifest, weights and card as a zip."""
        return self._transport.download(_of_version("GET", "/download", name, version), target)

    def alias(self, name: str, alias: str = "champion") -> AliasRead:
        return self._transport.ask(Call("GET", _ALIAS, {"name": name, "alias": alias}), AliasRead)

    def set_alias(
        self, name: str, alias: str, version: int, *, reason: str = "", seen: AliasRead | None = None
    ) -> AliasRead:
        """Make or move an alias. With `seen` only if it is still so; raises Conflict when it was moved meanwhile."""
        body = {"version": version, "reason": reason}
        values = {"name": name, "alias": alias}
        call = Call("PUT", _ALIAS, values, json=body, headers=_if_still(seen), is_repeatable=seen is None)
        return self._transport.ask(call, AliasRead)

    def delete_alias(self, name: str, alias: str, *, seen: AliasRead | None = None) -> None:
        """Remove an alias; its history stays."""
        values = {"name": name, "alias": alias}
        self._transport.send(Call("DELETE", _ALIAS, values, headers=_if_still(seen), is_repeatable=False))

    def roll_back_alias(self, name: str, alias: str, *, reason: str = "", seen: AliasRead | None = None) -> AliasRead:
        """Point an alias where it pointed before; each call goes one step further back."""
        call = Call(
            "POST", _ALIAS + "/rollback", {"name": name, "alias": alias}, json={"reason": reason},
            headers=_if_still(seen), is_repeatable=False,
        )  # fmt: skip
        return self._transport.ask(call, AliasRead)

    def alias_history(self, name: str, alias: str = "champion") -> Sequence[AliasChangeRead]:
        """Every move, newest first."""
        call = Call("GET", _ALIAS + "/history", {"name": name, "alias": alias})
        return (self._transport.ask(call, AliasHistory)).items


def _values(name: str, version: int) -> dict[str, object]:
    return {"name": name, "version": version}


def _of_version(method: str, what: str, name: str, version: int) -> Call:
    return Call(method, _VERSION + what, _values(name, version))


def _if_still(seen: AliasRead | None) -> dict[str, str]:
    return {} if seen is None else {"If-Match": f'"{seen.revision}"'}
