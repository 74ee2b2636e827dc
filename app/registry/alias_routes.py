"""The calls under /v1/models/{name}/aliases. `If-Match` with the ETag last seen makes a change conditional."""

import re
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Response

from app.core.errors import (
    AliasNotFound,
    InvalidName,
    InvalidRequest,
    ModelNotFound,
    ModelVersionNotFound,
    NothingToRollBack,
    PreconditionFailed,
)
from app.registry.aliases import ABSENT
from app.registry.deps import AliasName, ModelName, RegistryDep
from app.registry.models import ModelAlias
from app.registry.schemas import AliasHistory, AliasRead, AliasRollback, AliasUpdate
from app.registry.views import read_alias, read_alias_change
from app.web.problems import problem_responses

router = APIRouter(prefix="/v1/models/{name}/aliases", tags=["models"])

_ETAG = re.compile(r'"([0-9]{1,9})"')
_ALIAS = "/{alias}"


def _expected_revision(
    registry: RegistryDep,
    name: ModelName,
    alias: AliasName,
    if_match: Annotated[
        str | None, Header(description="The ETag last seen, or `*`: change the alias only if it is still so.")
    ] = None,
    if_none_match: Annotated[str | None, Header(description="`*`: only if there is no such alias yet.")] = None,
) -> int | None:
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            raise InvalidRequest("If-None-Match can only be * here, and not together with If-Match.")
        return ABSENT
    if if_match is None:
        return None
    if if_match.strip() == "*":
        try:
            return registry.aliases.get(name, alias).revision
        except AliasNotFound as error:
            raise PreconditionFailed(error.detail) from error
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidRequest(f"If-Match is {if_match[:40]!r}, which is no ETag of an alias: send it with its quotes.")
    return int(found[1])


ExpectedRevision = Annotated[int | None, Depends(_expected_revision)]


def _answer(response: Response, alias: ModelAlias) -> AliasRead:
    response.headers["ETag"] = f'"{alias.revision}"'
    return read_alias(alias)


@router.get(_ALIAS, responses=problem_responses(ModelNotFound, AliasNotFound), summary="Where an alias points")
def get_alias(registry: RegistryDep, response: Response, name: ModelName, alias: AliasName) -> AliasRead:
    """With its ETag."""
    registry.get_model(name)
    return _answer(response, registry.aliases.get(name, alias))


@router.put(
    _ALIAS,
    responses=problem_responses(ModelNotFound, ModelVersionNotFound, InvalidName, PreconditionFailed),
    summary="Point an alias at a version",
)
def put_alias(
    registry: RegistryDep,
    response: Response,
    name: ModelName,
    alias: AliasName,
    body: AliasUpdate,
    expected: ExpectedRevision,
) -> AliasRead:
    """Make or move an alias. Moving `champion` changes which version answers for the model, at once."""
    registry.get_model(name)
    return _answer(response, registry.aliases.set(name, alias, body.version, body.reason, expected))


@router.delete(
    _ALIAS,
    status_code=204,
    responses=problem_responses(ModelNotFound, AliasNotFound, PreconditionFailed),
    summary="Remove an alias",
)
def delete_alias(registry: RegistryDep, name: ModelName, alias: AliasName, expected: ExpectedRevision) -> None:
    """The versions and the alias's history stay. A model without `champion` answers only by alias or version."""
    registry.get_model(name)
    registry.aliases.delete(name, alias, expected_revision=expected)


@router.get(_ALIAS + "/history", responses=problem_responses(ModelNotFound, AliasNotFound), summary="History")
def get_alias_history(registry: RegistryDep, name: ModelName, alias: AliasName) -> AliasHistory:
    """Every move, newest first."""
    registry.get_model(name)
    return AliasHistory(items=[read_alias_change(change) for change in registry.aliases.history(name, alias)])


@router.post(
    _ALIAS + "/rollback",
    responses=problem_responses(ModelNotFound, AliasNotFound, NothingToRollBack, PreconditionFailed),
    summary="Take back the last move",
)
def roll_back_alias(
    registry: RegistryDep,
    response: Response,
    name: ModelName,
    alias: AliasName,
    expected: ExpectedRevision,
    body: Annotated[AliasRollback | None, Body()] = None,
) -> AliasRead:
    """Point the alias where it pointed before; calling it again goes one step further back."""
    registry.get_model(name)
    reason = body.reason if body is not None else ""
    return _answer(response, registry.aliases.rollback(name, alias, reason, expected))
