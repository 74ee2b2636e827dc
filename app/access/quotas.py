"""How much a tenant may have: what the settings say, unless its own row says otherwise."""

from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.access.models import Tenant
from app.core.errors import QuotaExceeded
from app.core.tenancy import own_tenant


class Quota(StrEnum):
    """What is counted; the value is the name in a tenant's row."""

    DATASETS = "datasets"
    DATASET_BYTES = "dataset_bytes"
    OPEN_JOBS = "open_jobs"
    BULK_ROWS_A_DAY = "bulk_rows_a_day"


_WORDS = {
    Quota.DATASETS: ("data sets", "Delete some."),
    Quota.DATASET_BYTES: ("bytes of data sets", "Delete some."),
    Quota.OPEN_JOBS: ("jobs that wait or run", "Wait for one to end, or cancel one."),
    Quota.BULK_ROWS_A_DAY: ("rows of bulk predictions in 24 hours", "Try again later."),
}


class TenantQuotas:
    """Of the session's tenant."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def limit(self, quota: Quota, of_settings: int) -> int:
        """0 = any number. Where there is a limit the tenant's row stays locked until the transaction ends, so that two
        requests do not both take the last place."""
        query = select(Tenant).where(Tenant.name == own_tenant(self._session))
        tenant = self._session.scalar(query)
        most = int((tenant.quotas if tenant is not None else {}).get(quota, of_settings))
        if most and tenant is not None:
            self._session.scalar(query.with_for_update())
        return most


def require_room(quota: Quota, most: int, used: int, more: int = 1) -> None:
    """Raises QuotaExceeded when `more` do not fit."""
    if most and used + more > most:
        what, advice = _WORDS[quota]
        raise QuotaExceeded(
            f"You may have {most:,} {what}; there are {used:,}, and this would add {more:,}. {advice} The "
            "administrator can allow more.",
            quota=quota, limit=most, used=used,
        )  # fmt: skip
