"""Liveness and readiness, for people, supervisors and load balancers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from app.core.errors import NotReady
from app.core.logging import get_logger
from app.web.deps import resource
from app.web.problems import problem_responses

router = APIRouter(prefix="/health", tags=["health"])

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Readiness:
    """What must hold before requests are welcome: each check returns None, or why it does not hold."""

    checks: dict[str, Callable[[], str | None]]

    def run(self) -> dict[str, str]:
        """`ok` or the reason, by name of the check; a check that raises has failed."""
        return {name: self._reason(name, check) or "ok" for name, check in self.checks.items()}

    def _reason(self, name: str, check: Callable[[], str | None]) -> str | None:
        try:
            return check()
        except Exception as error:  # noqa: BLE001 - each check has failures of its own
            # The exception may name hosts and files: those belong into the log only.
            log.warning("readiness check failed", check=name, reason=str(error))
            return "unreachable"


class Health(BaseModel):
    status: str = Field(description="`ok`, or what is wrong.", examples=["ok"])
    checks: dict[str, str] = Field(default={}, description="State of each part.")


@router.get("/live", summary="The process answers")
async def live() -> Health:
    """200 whatever else may be wrong."""
    return Health(status="alive")


@router.get("/ready", responses=problem_responses(NotReady), summary="Requests can be served")
def ready(readiness: Annotated[Readiness, Depends(resource(Readiness))]) -> Health:
    """200 when the database schema is the one this version needs and the artifact store answers; else 503."""
    checks = readiness.run()
    failed = {name: reason for name, reason in checks.items() if reason != "ok"}
    if failed:
        named = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise NotReady(f"The service cannot take requests now ({named}).", checks=checks, retry_after_s=5)
    return Health(status="ready", checks=checks)
