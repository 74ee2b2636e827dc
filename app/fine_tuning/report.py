"""The report of a succeeded job, from its row and the manifest of the version it made."""

from collections.abc import Sequence
from typing import Any

from app.fine_tuning.report_schemas import (
    FineTuningReport,
    ReportModel,
    ReportProperty,
    ReportSplit,
    TournamentReport,
)
from app.fine_tuning.spec import FineTuningSpec
from app.jobs.models import Job
from app.registry.manifest import Manifest, TrainingRecord
from app.registry.models import ModelVersion


def make_report(job: Job, version: ModelVersion, aliases: Sequence[str]) -> FineTuningReport:
    """`aliases` are those that point at the version now."""
    spec, manifest = FineTuningSpec.model_validate(job.spec), Manifest.model_validate(version.manifest)
    record = manifest.training
    return FineTuningReport(
        job_id=job.id,
        finished_at=job.finished_at,
        outcome=job.status_reason or "",
        model=ReportModel(
            name=version.model_name, version=version.version, sha256=version.weights_sha256,
            size_bytes=manifest.weights_bytes, aliases=sorted(aliases),
        ),
        property=ReportProperty.model_validate(manifest.property.model_dump()),
        dataset_id=spec.dataset_id,
        dataset_name=spec.dataset_name,
        method=spec.method,
        architecture=manifest.architecture,
        base_model=manifest.parent,
        hyperparameters=spec.hyperparameters,
        seed=spec.seed,
        split=_split(record),
        metrics=manifest.metrics,
        epochs=record.epochs,
        wall_s=record.wall_s,
        tournament=_tournament(record.search),
        test_rows=(job.result or {}).get("test_rows", []),
    )  # fmt: skip


def _split(record: TrainingRecord) -> ReportSplit:
    return ReportSplit(
        rule=record.split, n_train=record.n_train, n_val=record.n_val, n_test=record.n_test, left_out=record.filters
    )


def _tournament(search: dict[str, Any] | None) -> TournamentReport | None:
    if search is None or search.get("kind") != "tournament":
        return None
    winner = search["winner"]
    members = sorted(winner["members"].items(), key=lambda member: -member[1])
    named = [{"name": name, "weight": weight} for name, weight in members]
    return TournamentReport.model_validate({**search, "winner": {**winner, "members": named}})
