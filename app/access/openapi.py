"""Keys and scopes in the OpenAPI document."""

from typing import Any

from app.access.policy import Rule, rule_for
from app.core.errors import (
    CrossOrigin,
    HostNotTrusted,
    KeyExpired,
    KeyInvalid,
    KeyMissing,
    QuotaExceeded,
    RateLimited,
    ScopeMissing,
    SharedReadOnly,
    XtalforgeError,
)
from app.web.problems import PROBLEM_JSON, problem_responses

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer xf_...`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {}]
"""The empty one: an installation on the loopback may need no key."""

_REFUSALS: tuple[type[XtalforgeError], ...] = (
    KeyMissing, KeyInvalid, KeyExpired, ScopeMissing, CrossOrigin, HostNotTrusted, RateLimited,
)  # fmt: skip
_REFUSED_WRITES = (QuotaExceeded, SharedReadOnly)


def describe_access(document: dict[str, Any]) -> None:
    """Add to each operation which key it needs and how it is refused."""
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for path, operations in document.get("paths", {}).items():
        rule = rule_for(path)
        if not rule.is_public:
            for method, operation in operations.items():
                _describe(operation, rule, method.upper())


def _describe(operation: dict[str, Any], rule: Rule, method: str) -> None:
    scope = rule.scope_for(method)
    needs = f"Needs a key with scope `{scope}`." if scope is not None else "Any key will do."
    operation["description"] = f"{operation.get('description', '').strip()}\n\n{needs}".strip()
    operation["security"] = _SECURITY
    responses = operation.setdefault("responses", {})
    refusals = (*_REFUSALS, *(_REFUSED_WRITES if rule.records(method) else ()))
    for status, refusal in problem_responses(*refusals).items():
        known = responses.setdefault(str(status), refusal)
        if known is not refusal and refusal["description"] not in known.get("description", ""):
            known["description"] = f"{known.get('description', '')}; {refusal['description']}"
            known["content"][PROBLEM_JSON]["examples"] |= refusal["content"][PROBLEM_JSON]["examples"]
