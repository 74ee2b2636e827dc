"""Which key each call needs. A route without a rule stops the application from starting."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.core.principal import KeyScope

READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Rule:
    """What calls under one path need: a scope, None = any key. `is_recorded`: what writes goes to the audit log."""

    read: KeyScope | None = None
    write: KeyScope | None = None
    is_public: bool = False
    is_recorded: bool = True
    is_metrics: bool = False

    def scope_for(self, method: str) -> KeyScope | None:
        return self.read if method in READS else self.write

    def records(self, method: str) -> bool:
        return self.is_recorded and method not in READS


_PUBLIC = Rule(is_public=True)
_COMPUTED = Rule(KeyScope.PREDICT, KeyScope.PREDICT, is_recorded=False)

RULES: Mapping[str, Rule] = {
    "": _PUBLIC,
    "ui": _PUBLIC,
    "docs": _PUBLIC,
    "tutorials": _PUBLIC,
    "openapi.json": _PUBLIC,
    "health": _PUBLIC,
    "metrics": Rule(KeyScope.ADMIN, is_metrics=True),
    "v1/access": Rule(),
    "v1/predictions": _COMPUTED,
    "v1/structures": _COMPUTED,
    "v1/embeddings": _COMPUTED,
    "v1/suggestions": _COMPUTED,
    "v1/properties": Rule(KeyScope.PREDICT, KeyScope.ADMIN),
    "v1/bulk-predictions": Rule(KeyScope.PREDICT, KeyScope.PREDICT),
    "v1/screenings": Rule(KeyScope.PREDICT, KeyScope.PREDICT),
    "v1/models": Rule(KeyScope.PREDICT, KeyScope.TRAIN),
    "v1/datasets": Rule(KeyScope.TRAIN, KeyScope.TRAIN),
    "v1/fine-tuning": Rule(KeyScope.TRAIN, KeyScope.TRAIN),
    "v1/webhooks": Rule(KeyScope.TRAIN, KeyScope.TRAIN),
}

_UNKNOWN = Rule(KeyScope.ADMIN, KeyScope.ADMIN)
"""There is nothing at such a path, which only somebody with a key is told."""


class RouteWithoutRule(RuntimeError):
    """A programming error: the routes it names are missing from RULES."""


def area_of(path: str) -> str:
    """`/v1/models/m/versions` -> `v1/models`, `/docs` -> `docs`."""
    parts = path.split("/", 3)
    return f"v1/{parts[2]}" if parts[1] == "v1" and len(parts) > 2 else parts[1]


def rule_for(path: str) -> Rule:
    return RULES.get(area_of(path), _UNKNOWN) if path.startswith("/") else _UNKNOWN


def require_rules(paths: Iterable[str]) -> None:
    """Raises RouteWithoutRule."""
    missing = sorted({path for path in paths if area_of(path) not in RULES})
    if missing:
        raise RouteWithoutRule(f"app/access/policy.py has no rule for {', '.join(missing)}")
