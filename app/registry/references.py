"""How a model version is named from outside: `NAME`, `NAME@ALIAS` or `NAME/3`."""

import re
from dataclasses import dataclass

from app.core.errors import InvalidName

CHAMPION = "champion"
"""The alias that a bare NAME means."""

MAX_NAME_LENGTH = 100

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ALIAS = re.compile(r"[a-z][a-z0-9_-]*")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model with either an alias or a version number."""

    name: str
    alias: str | None = None
    version: int | None = None


def parse_reference(text: str) -> ModelReference:
    """Read a reference; InvalidName says what is wrong with it."""
    name, slash, number = text.partition("/")
    if slash:
        check_model_name(name)
        if not _NUMBER.fullmatch(number):
            shown = text[: 2 * MAX_NAME_LENGTH]
            raise InvalidName(f"{shown!r}: after the / stands a version number, such as {name}/1.", value=shown)
        return ModelReference(name, version=int(number))
    name, _, alias = text.partition("@")
    return ModelReference(check_model_name(name), alias=check_alias(alias) if "@" in text else CHAMPION)


def check_model_name(name: str) -> str:
    """The name itself, or InvalidName."""
    if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
        raise InvalidName(
            f"{name[:MAX_NAME_LENGTH]!r} is not a model name: letters, digits, '.', '_' and '-', beginning with a "
            f"letter or digit, at most {MAX_NAME_LENGTH} characters.",
            value=name[:MAX_NAME_LENGTH],
        )
    return name


def check_alias(alias: str) -> str:
    """The alias itself, or InvalidName."""
    if len(alias) > MAX_NAME_LENGTH or not _ALIAS.fullmatch(alias):
        raise InvalidName(
            f"{alias[:MAX_NAME_LENGTH]!r} is not an alias: small letters, digits, '_' and '-', a letter first.",
            value=alias[:MAX_NAME_LENGTH],
        )
    return alias
