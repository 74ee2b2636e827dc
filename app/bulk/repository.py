"""Queries of the parts of bulk predictions."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.bulk.models import BulkPart

RATE_PARTS = 20


class Totals(NamedTuple):
    """Sums over the parts of a job."""

    n_parts: int = 0
    n_inputs: int = 0
    n_failed: int = 0
    n_lines: int = 0


class BulkPartRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, parts: Sequence[BulkPart]) -> None:
        self._session.add_all(parts)
        self._session.flush()

    def numbers(self, job_id: str, first: int, n: int) -> frozenset[int]:
        """Of the parts that are there among `n` from `first` on."""
        query = select(BulkPart.number).where(BulkPart.job_id == job_id, BulkPart.number.between(first, first + n - 1))
        return frozenset(self._session.scalars(query))

    def paths(self, job_id: str) -> dict[int, str]:
        """By number, in the order of the input."""
        query = select(BulkPart.number, BulkPart.path).where(BulkPart.job_id == job_id).order_by(BulkPart.number)
        return {row.number: row.path for row in self._session.execute(query)}

    def totals(self, job_ids: Sequence[str]) -> dict[str, Totals]:
        """Of each job that has parts."""
        sums = (func.count(), func.sum(BulkPart.n_inputs), func.sum(BulkPart.n_failed), func.sum(BulkPart.n_lines))
        query = select(BulkPart.job_id, *sums).where(BulkPart.job_id.in_(job_ids)).group_by(BulkPart.job_id)
        return {job_id: Totals(*map(int, counts)) for job_id, *counts in self._session.execute(query)}

    def rate_per_s(self, job_id: str) -> float | None:
        """Inputs a second over the newest parts; None before there are two."""
        query = select(BulkPart.created_at, BulkPart.n_inputs).where(BulkPart.job_id == job_id)
        rows = self._session.execute(query.order_by(BulkPart.created_at.desc()).limit(RATE_PARTS)).all()
        if len(rows) < 2:
            return None
        elapsed_s = (rows[0].created_at - rows[-1].created_at).total_seconds()
        return sum(row.n_inputs for row in rows[:-1]) / elapsed_s if elapsed_s > 0 else None

    def remove_all(self, job_id: str) -> None:
        self._session.execute(delete(BulkPart).where(BulkPart.job_id == job_id))
