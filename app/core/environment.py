"""Variables of the environment that look like settings and are none: misspelt ones would do nothing, in silence."""

import difflib
from collections.abc import Iterator, Mapping

import structlog
from pydantic import BaseModel

from app.core.settings import Settings

PREFIX, DELIMITER = "XTALFORGE_", "__"
OTHERS = frozenset({"XTALFORGE_URL"})
"""What the client and the commands read beside the settings."""


def settable(group: type[BaseModel] = Settings, prefix: str = PREFIX) -> Iterator[str]:
    """The names of all settings, XTALFORGE_JOBS__LEASE_S for one, and of the groups, which may be given as JSON."""
    for name, field in group.model_fields.items():
        yield prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settable(field.annotation, f"{prefix}{name.upper()}{DELIMITER}")


def unknown_variables(environment: Mapping[str, str]) -> dict[str, list[str]]:
    """Names with the prefix that no setting has; for each those that may have been meant."""
    known = {*settable(), *OTHERS}
    given = [name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in known]
    return {name: _nearest(name.upper(), known) for name in sorted(given)}


def warn_of_unknown_variables(log: structlog.stdlib.BoundLogger, environment: Mapping[str, str]) -> None:
    """They are no reason not to start: Kubernetes sets such names for a service that is called xtalforge."""
    for name, meant in unknown_variables(environment).items():
        hint = {"did_you_mean": " or ".join(meant)} if meant else {}
        log.warning("this variable is no setting and does nothing", variable=name, **hint)


def _nearest(name: str, known: set[str]) -> list[str]:
    """Settings whose own name, without groups, is that of `name`; else the one that is spelt most alike."""
    same = sorted(each for each in known if _own_name(each) == _own_name(name))
    return same or difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)


def _own_name(name: str) -> str:
    return name.rpartition(DELIMITER)[2].removeprefix(PREFIX)
