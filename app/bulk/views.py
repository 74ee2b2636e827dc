"""From job rows to answers."""

from datetime import datetime
from typing import Any

from app.bulk.repository import Totals
from app.bulk.schemas import BulkInputRead, BulkModelRead, BulkPredictionRead, BulkProgress
from app.bulk.spec import DELETED_AT, BulkSpec, ModelUse
from app.jobs.models import Job
from app.jobs.views import job_fields


def bulk_read(job: Job, totals: Totals, counted: dict[str, Any] | None, rate_per_s: float | None) -> BulkPredictionRead:
    spec = BulkSpec.model_validate(job.spec)
    return BulkPredictionRead(
        **job_fields(job),
        results_deleted_at=results_deleted_at(job),
        input=input_read(spec),
        models=[model_read(use) for use in spec.models],
        progress=progress_read(spec, totals, counted, rate_per_s),
    )


def results_deleted_at(job: Job) -> datetime | None:
    deleted_at = (job.result or {}).get(DELETED_AT)
    return datetime.fromisoformat(deleted_at) if deleted_at else None


def progress_read(
    spec: BulkSpec, totals: Totals, counted: dict[str, Any] | None, rate_per_s: float | None
) -> BulkProgress:
    total = spec.input.n_rows if spec.input.n_rows is not None else (counted or {}).get("n_rows")
    eta_s = (total - totals.n_inputs) / rate_per_s if total is not None and rate_per_s else None
    return BulkProgress(
        done=totals.n_inputs,
        failed=totals.n_failed,
        total=total,
        rate_per_s=round(rate_per_s, 1) if rate_per_s else None,
        eta_s=round(eta_s, 1) if eta_s is not None else None,
    )


def input_read(spec: BulkSpec) -> BulkInputRead:
    columns = spec.input.columns if spec.dataset_id is None else None
    return BulkInputRead(
        name=spec.input_name,
        format=spec.input.format,
        column=columns.input if columns is not None else None,
        id_column=columns.id if columns is not None else None,
        dataset_id=spec.dataset_id,
        size_bytes=spec.input_bytes,
        sha256=spec.input_sha256,
        notes=list(spec.input.notes),
    )


def model_read(use: ModelUse) -> BulkModelRead:
    return BulkModelRead(name=use.name, version=use.version, sha256=use.sha256, property=use.property, unit=use.unit)
