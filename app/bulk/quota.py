"""How many rows a tenant has predicted in bulk, screenings included."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access.quotas import Quota, TenantQuotas, require_room
from app.bulk.models import BulkPart
from app.bulk.repository import BulkPartRepository, Totals
from app.bulk.spec import predictions_of
from app.core.orm import utc_now
from app.jobs.kinds import QueueName, kinds_of
from app.jobs.models import Job
from app.jobs.status import TERMINAL

DAY = timedelta(hours=24)


def require_rows(session: Session, of_settings: int, new: Job) -> None:
    """Raises QuotaExceeded when the rows of the last 24 hours, those that open jobs still have before them and those of
    the `new` job, which is in the session, are too many. Rows of a file that nobody has counted yet count as one."""
    most = TenantQuotas(session).limit(Quota.BULK_ROWS_A_DAY, of_settings)
    if not most:
        return
    done = session.scalar(select(func.sum(BulkPart.n_inputs)).where(BulkPart.created_at > utc_now() - DAY)) or 0
    kinds = kinds_of(QueueName.BULK)
    query = select(Job).where(Job.kind.in_(kinds), Job.status.not_in(TERMINAL), Job.id != new.id)
    waiting = list(session.scalars(query))
    totals = BulkPartRepository(session).totals([job.id for job in waiting])
    ahead = sum(max(0, _n_rows(job) - totals.get(job.id, Totals()).n_inputs) for job in waiting)
    require_room(Quota.BULK_ROWS_A_DAY, most, done + ahead, _n_rows(new))


def _n_rows(job: Job) -> int:
    return predictions_of(job.spec).input.n_rows or 1
