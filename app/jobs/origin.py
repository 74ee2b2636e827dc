"""By what a job can be followed back to the request that made it: its id, and where it was traced its trace."""

from collections.abc import Mapping
from typing import Any

import structlog

from app.core.tracing import TRACEPARENT

REQUEST_ID = "request_id"


def request_origin() -> dict[str, str]:
    """Of the request at work in this context; empty outside of one."""
    return origin_of(structlog.contextvars.get_contextvars())


def origin_of(values: Mapping[str, Any]) -> dict[str, str]:
    """What of these values tells an origin."""
    return {name: str(values[name]) for name in (REQUEST_ID, TRACEPARENT) if values.get(name)}
