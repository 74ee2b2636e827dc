"""Fine-tuning jobs: every choice is checked and made before the job exists, so that a worker finds no open question."""

import hashlib
from collections.abc import Collection, Sequence

from sqlalchemy.orm import Session

from app.core.errors import (
    InputKindMismatch,
    InvalidJob,
    JobNotFinished,
    ModelMismatch,
    ModelNotFound,
)
from app.core.settings import Settings
from app.datasets.inspection import MIN_USABLE_ROWS
from app.datasets.models import Dataset
from app.datasets.service import DatasetService
from app.fine_tuning.checks import check_frozen, check_size, check_split, check_unseen, usable_source
from app.fine_tuning.report import make_report
from app.fine_tuning.report_schemas import FineTuningReport
from app.fine_tuning.schemas import AUTO, FineTuningJobCreate, FineTuningJobRead
from app.fine_tuning.spec import BaseModelVersion, FineTuningSpec
from app.fine_tuning.views import job_read
from app.jobs.kinds import JobKind
from app.jobs.models import Job
from app.jobs.repository import JobRepository
from app.jobs.service import JobService
from app.jobs.status import JobStatus
from app.learning.methods import Method, method_info, methods_for_data, named
from app.learning.presets import chosen_architecture, require_fitting_target, resolve_hyperparameters
from app.properties.catalogue import FORMATION_ENERGY, best_start
from app.registry.manifest import Architecture, InputKind, Manifest, PropertyRecord, what_it_learned
from app.registry.models import ModelVersion
from app.registry.repository import RegistryRepository
from app.registry.service import SHIPPED, RegistryService, require_same_kind
from app.registry.store import ArtifactStore
from app.webhooks.addresses import refuse_inner
from app.webhooks.schemas import with_webhook

MAX_OPEN_JOBS_SEEN = 1000

_WEIGHTS_GO_ON = (Method.FINE_TUNE, Method.FREEZE, Method.FREEZE_EARLY)
"""Methods for which it was measured what transfers best."""
_OPEN = tuple(status for status in JobStatus if not status.is_terminal)


class FineTuningService:
    """Works in the caller's transaction and never commits."""

    def __init__(self, session: Session, store: ArtifactStore, settings: Settings) -> None:
        self._settings = settings
        self._repository = JobRepository(session)
        self._jobs = JobService(session, settings.jobs)
        self._datasets = DatasetService(session, store, settings)
        self._registry = RegistryService(session, store)
        self._versions = RegistryRepository(session)

    def create(self, request: FineTuningJobCreate, idempotency_key: str | None) -> FineTuningJobRead:
        """A queued job, or the one made before with the same key.

        Raises DatasetNotFound, InvalidJob, InputKindMismatch, ModelMismatch, IdempotencyConflict, WebhookRefused,
        and for the base model InvalidName, ModelNotFound, AliasNotFound or ModelVersionNotFound.
        """
        if request.webhook is not None:
            refuse_inner(request.webhook.url, allow_private=self._settings.webhooks.allow_private)
        request_sha256 = hashlib.sha256(request.model_dump_json(exclude={"webhook"}).encode()).hexdigest()
        request_sha256 = with_webhook(request_sha256, request.webhook)
        job = self._jobs.find_replay(JobKind.FINE_TUNING, idempotency_key, request_sha256)
        if job is None:
            spec = self._plan(request).model_dump(mode="json")
            job = self._jobs.create(JobKind.FINE_TUNING, spec, idempotency_key, request_sha256, request.webhook)
        return self._read([job])[0]

    def get(self, job_id: str) -> FineTuningJobRead:
        return self._read([self._job(job_id)])[0]

    def report(self, job_id: str) -> FineTuningReport:
        """What a succeeded job found. Raises JobNotFound, and JobNotFinished for any other."""
        job = self._job(job_id)
        version = self._versions.version_of_job(job_id) if job.status == JobStatus.SUCCEEDED else None
        if version is None:
            reason = f": {job.status_reason}" if job.status_reason else ""
            raise JobNotFinished(f"Job {job_id} is {job.status}{reason} Only a job that succeeded has a report.")
        aliases = self._registry.aliases_of([version.model_name])[version.model_name]
        return make_report(job, version, [alias for alias, number in aliases.items() if number == version.version])

    def cancel(self, job_id: str) -> FineTuningJobRead:
        """Raises JobNotFound, JobNotCancellable."""
        self._job(job_id)
        return self._read([self._jobs.request_cancel(job_id)])[0]

    def pause(self, job_id: str) -> FineTuningJobRead:
        """Raises JobNotFound, JobNotPausable."""
        self._job(job_id)
        return self._read([self._jobs.request_pause(job_id)])[0]

    def resume(self, job_id: str) -> FineTuningJobRead:
        """Raises JobNotFound, JobNotResumable."""
        self._job(job_id)
        return self._read([self._jobs.request_resume(job_id)])[0]

    def retry(self, job_id: str, idempotency_key: str | None) -> FineTuningJobRead:
        """A new job with the choices of one that failed, expired or was cancelled, or the one of this key.

        Raises JobNotFound, JobNotRetryable, DatasetNotFound, IdempotencyConflict, QuotaExceeded.
        """
        self._datasets.get(FineTuningSpec.model_validate(self._job(job_id).spec).dataset_id)
        return self._read([self._jobs.retry(job_id, idempotency_key)])[0]

    def page(
        self, statuses: Sequence[JobStatus], cursor: str | None, limit: int
    ) -> tuple[list[FineTuningJobRead], str | None]:
        """One page, newest first, and the cursor of the next one."""
        jobs, following = self._repository.page_at(JobKind.FINE_TUNING, statuses, cursor, limit)
        return self._read(jobs), following

    def _job(self, job_id: str) -> Job:
        return self._repository.get_of_kind(job_id, JobKind.FINE_TUNING)

    def _read(self, jobs: Sequence[Job]) -> list[FineTuningJobRead]:
        ids = [job.id for job in jobs]
        epochs, searches = (self._repository.last_events(ids, kind) for kind in ("epoch", "search"))
        return [job_read(job, epochs.get(job.id), searches.get(job.id)) for job in jobs]

    def _plan(self, request: FineTuningJobCreate) -> FineTuningSpec:
        dataset = self._datasets.get(request.dataset_id)
        record = PropertyRecord.model_validate(dataset.property_record)
        input_kind = InputKind(dataset.input_kind)
        if dataset.n_rows < MIN_USABLE_ROWS:
            raise InvalidJob(
                f"Data set {dataset.id} has {dataset.n_rows} usable rows; training needs at least {MIN_USABLE_ROWS} "
                "and becomes useful with a few hundred.",
                n_rows=dataset.n_rows, min_rows=MIN_USABLE_ROWS,
            )  # fmt: skip
        base = self._base(request, dataset)
        architecture = chosen_architecture(
            request.method, input_kind, Architecture(base.architecture) if base else None, request.hyperparameters
        )
        hyperparameters = resolve_hyperparameters(
            architecture, request.method, request.hyperparameters, dataset.n_rows,
            is_same_property=base is not None and Manifest.model_validate(base.manifest).property.key == record.key,
        )  # fmt: skip
        reads = method_info(request.method).input_kind(architecture, hyperparameters.features, input_kind)
        self._check_model_name(request.model_name, record, reads)
        require_fitting_target(hyperparameters, record)
        check_split(request.method, hyperparameters, dataset)
        check_size(request.method, hyperparameters, dataset)
        if base is not None and request.method is Method.FREEZE_EARLY:
            check_frozen(Manifest.model_validate(base.manifest), hyperparameters.frozen_convolutions or 0)
        return FineTuningSpec(
            dataset_id=dataset.id, dataset_name=dataset.name, dataset_sha256=dataset.content_sha256,
            dataset_path=dataset.artifact_path, n_rows=dataset.n_rows, model_name=request.model_name,
            architecture=architecture, method=request.method, property=record, hyperparameters=hyperparameters,
            seed=request.seed, base=_pinned(base) if base else None, input_kind=input_kind,
            sources=tuple(map(_pinned, self._sources(request, dataset))),
        )  # fmt: skip

    def _check_model_name(self, name: str, record: PropertyRecord, input_kind: InputKind) -> None:
        self._check_open_jobs(name, record, input_kind)
        try:
            model = self._registry.get_model(name)
        except ModelNotFound:
            return
        if self._versions.last_version_number(name, SHIPPED):
            raise InvalidJob(f"'{name}' is a model that comes with this service; choose a name of your own.")
        require_same_kind(model, record.key, input_kind)
        newest = self._versions.versions_before(name, self._versions.last_version_number(name) + 1, 1)
        if newest:
            _require_same_unit(name, Manifest.model_validate(newest[0].manifest).property, record)

    def _check_open_jobs(self, name: str, record: PropertyRecord, input_kind: InputKind) -> None:
        """A job that waits for the name must not find it taken by another kind of model when it ends."""
        open_jobs = self._repository.page(JobKind.FINE_TUNING, _OPEN, None, MAX_OPEN_JOBS_SEEN)
        for job, spec in ((job, FineTuningSpec.model_validate(job.spec)) for job in open_jobs):
            if spec.model_name != name:
                continue
            info = method_info(spec.method)
            kind = info.input_kind(spec.architecture, spec.hyperparameters.features, spec.input_kind)
            if (spec.property.key, kind) != (record.key, input_kind):
                raise ModelMismatch(
                    f"Job {job.id} is making model {name}, which predicts {spec.property.key} from a {kind}; this one "
                    f"would predict {record.key} from a {input_kind}. Choose another name."
                )
            _require_same_unit(name, spec.property, record)

    def _base(self, request: FineTuningJobCreate, dataset: Dataset) -> ModelVersion | None:
        """The version to start from; None for methods that start from random weights."""
        if not method_info(request.method).needs_base:
            if request.base_model != AUTO and request.method is not Method.AUTO:
                raise InvalidJob(
                    f"Method '{request.method}' starts from nothing (random weights, or none), so base_model "
                    f"'{request.base_model}' would not be used. Leave base_model out, or choose a method that starts "
                    "from it, such as 'fine_tune'."
                )
            return None
        if request.base_model == AUTO:
            base = self._best_source(request.method, InputKind(dataset.input_kind), dataset.property_record["key"])
        else:
            base = self._registry.resolve(request.base_model)
        manifest = Manifest.model_validate(base.manifest)
        if manifest.input_kind != dataset.input_kind:
            raise InputKindMismatch(
                f"The base model {base.model_name}/{base.version} reads a {manifest.input_kind}, but data set "
                f"{dataset.id} holds a {dataset.input_kind} in each row. Choose another base_model, or 'auto'."
            )
        return base

    def _sources(self, request: FineTuningJobCreate, dataset: Dataset) -> list[ModelVersion]:
        """What `auto` may use: the model that was named, or all shipped champions that read such data."""
        if request.method is not Method.AUTO:
            return []
        input_kind = InputKind(dataset.input_kind)
        if request.base_model != AUTO:
            source = usable_source(self._registry.resolve(request.base_model), input_kind)
            check_unseen(Manifest.model_validate(source.manifest), dataset)
            return [source]
        champions = self._registry.champions(input_kind=input_kind)
        return [version for version in champions if version.source == SHIPPED]

    def _best_source(self, method: Method, input_kind: InputKind, property_key: str) -> ModelVersion:
        """The shipped champion of the method's own family that learned what transfers best to the property.

        Else one of formation energy; of several, the one from most rows.
        """
        shipped = [v for v in self._registry.champions(input_kind=input_kind) if v.source == SHIPPED]
        if not shipped:
            raise InvalidJob(
                f"This service has no pretrained model that reads a {input_kind}: use method 'scratch', or name a "
                "base_model of your own."
            )
        info = method_info(method)
        for family, made in info.bases.items():
            offered = [v for v in shipped if Architecture(v.architecture) is family]
            if offered and input_kind in info.data_kinds(made):
                wanted = best_start(property_key) if method in _WEIGHTS_GO_ON else FORMATION_ENERGY
                return max(offered, key=lambda version: _source_rank(version, wanted))
        known = {Architecture(v.architecture) for v in shipped}
        offer = named(each for each in methods_for_data(input_kind) if _can_start(each, known))
        fits = method in methods_for_data(input_kind)
        why = "here, for want of a pretrained model that it could start from" if fits else "at all"
        raise InvalidJob(f"Method '{method}' is not offered for data of a {input_kind} {why}. On offer: {offer}.")


def _require_same_unit(name: str, present: PropertyRecord, record: PropertyRecord) -> None:
    if present.unit != record.unit:
        raise ModelMismatch(
            f"Model {name} predicts {present.key} in {present.unit}, but the labels of this data set are in "
            f"{record.unit}. Choose another name, or convert the labels."
        )


def _can_start(method: Method, known: Collection[Architecture]) -> bool:
    info = method_info(method)
    return not info.needs_base or any(family in known for family in info.bases)


def _source_rank(version: ModelVersion, wanted: str) -> tuple[bool, bool, int]:
    manifest = Manifest.model_validate(version.manifest)
    learned = what_it_learned(manifest)
    return learned == wanted, learned == FORMATION_ENERGY, manifest.training.n_train


def _pinned(base: ModelVersion) -> BaseModelVersion:
    return BaseModelVersion(id=base.id, name=base.model_name, version=base.version, sha256=base.weights_sha256)
