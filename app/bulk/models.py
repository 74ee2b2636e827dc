"""Table of the finished parts of bulk predictions; the results themselves lie in the artifact store."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.core.orm import Base, utc_now
from app.core.tenancy import Owned


class BulkPart(Owned, Base):
    """Results of one chunk of a job's input. A chunk is recorded once, whichever attempts worked on it."""

    __tablename__ = "bulk_part"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n_inputs: Mapped[int]
    n_failed: Mapped[int]
    n_lines: Mapped[int]
    path: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
