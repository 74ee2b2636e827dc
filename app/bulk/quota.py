"""How many rows a tenant has predicted in bulk."""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access.quotas import Quota, TenantQuotas, require_room
from app.bulk.models import BulkPart
from app.bulk.repository import BulkPartRepository, Totals
from app.bulk.spec import BulkSpec
from app.core.orm import utc_now
from app.jobs.models import Job
from app.jobs.status import TERMINAL

DAY = timedelta(hours=24)


def require_rows(session: Session, of_settings: int, new: Job, spec_of: Callable[[Job], BulkSpec]) -> None:
    """Raises QuotaExceeded when the rows of the last 24 hours, those that open jobs still have before them and those of
    the `new` job, which is in the session, are too many. Rows of a file that nobody has counted yet count as one."""
    most = TenantQuotas(session).limit(Quota.BULK_ROWS_A_DAY, of_settings)
    if not most:
        return
    done = session.scalar(select(func.sum(BulkPart.n_inputs)).where(BulkPart.created_at > utc_now() - DAY)) or 0
    query = select(Job).where(Job.kind == new.kind, Job.status.not_in(TERMINAL), Job.id != new.id)
    waiting = list(session.scalars(query))
    totals = BulkPartRepository(session).totals([job.id for job in waiting])
    ahead = sum(max(0, _n_rows(spec_of(job)) - totals.get(job.id, Totals()).n_inputs) for job in waiting)
    require_room(Quota.BULK_ROWS_A_DAY, most, done + ahead, _n_rows(spec_of(new)))


def _n_rows(spec: BulkSpec) -> int:
    return spec.input.n_rows or 1
