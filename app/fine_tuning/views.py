"""From job rows to answers."""

from typing import Any

from app.fine_tuning.schemas import (
    BaseModelRead,
    FineTuningJobRead,
    JobProgress,
    JobResult,
    JobSearch,
    MethodRead,
)
from app.fine_tuning.spec import BaseModelVersion, FineTuningSpec
from app.jobs.models import Job
from app.jobs.views import job_fields
from app.learning.methods import METHODS
from app.learning.presets import fields_used


def job_read(job: Job, last_epoch: dict[str, Any] | None, last_search: dict[str, Any] | None) -> FineTuningJobRead:
    spec = FineTuningSpec.model_validate(job.spec)
    base = spec.base
    return FineTuningJobRead(
        **job_fields(job),
        dataset_id=spec.dataset_id,
        model_name=spec.model_name,
        property=spec.property.key,
        unit=spec.property.unit,
        base_model=_base_read(base) if base else None,
        sources=[_base_read(source) for source in spec.sources],
        method=spec.method,
        architecture=spec.architecture,
        hyperparameters=spec.hyperparameters,
        seed=spec.seed,
        progress=JobProgress.model_validate(last_epoch) if last_epoch else None,
        search=JobSearch.model_validate(last_search) if last_search else None,
        result=JobResult.model_validate(job.result) if job.result else None,
    )


def _base_read(pinned: BaseModelVersion) -> BaseModelRead:
    return BaseModelRead(name=pinned.name, version=pinned.version, sha256=pinned.sha256)


def methods_read() -> list[MethodRead]:
    """Every method on offer, once for each architecture it makes."""
    return [
        MethodRead(
            name=info.name,
            family=architecture,
            input_kind=info.input_kind(architecture),
            data_kinds=list(info.data_kinds(architecture)),
            needs_base_model=info.needs_base,
            base_family=next((base for base, made in info.bases.items() if made is architecture), None),
            hyperparameters=fields_used(architecture, info.name),
            source=info.source,
            description=info.description,
        )
        for info in METHODS
        for architecture in info.architectures
    ]
