"""From job rows to answers."""

from typing import Any

from app.bulk.repository import Totals
from app.bulk.views import input_read, model_read, progress_read, results_deleted_at
from app.jobs.models import Job
from app.jobs.views import job_fields
from app.screening.schemas import ScreeningCounts, ScreeningRead
from app.screening.spec import ScreeningSpec


def screening_read(job: Job, totals: Totals, counted: dict[str, Any] | None, rate_per_s: float | None) -> ScreeningRead:
    spec = ScreeningSpec.model_validate(job.spec)
    predictions, counts = spec.predictions, (job.result or {}).get("counts")
    return ScreeningRead(
        **job_fields(job),
        results_deleted_at=results_deleted_at(job),
        input=input_read(predictions) if spec.generator is None else None,
        generator=spec.generator,
        wish=spec.wish,
        models=[model_read(use) for use in predictions.models],
        progress=progress_read(predictions, totals, counted, rate_per_s),
        counts=ScreeningCounts.model_validate(counts) if counts is not None else None,
    )
