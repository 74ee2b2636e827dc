"""Fine-tuning jobs: data set and base model in, a version in the registry out."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from app.core.db import open_session
from app.datasets.service import stored_rows
from app.fine_tuning.spec import FineTuningSpec
from app.jobs.errors import JobErrorCode
from app.learning.tournament.verdict import is_shown_to_help
from app.registry.card import render_card
from app.registry.manifest import InputKind, Parent
from app.registry.service import FINE_TUNING, RegistryService
from workers.attempt import Run
from workers.work import Outcome, Work


class TrainingWork(Work):
    module = "workers.trainer"
    failure_code = JobErrorCode.TRAINING_FAILED
    memory_advice = "try a smaller batch_size"

    def prepare(self, keep_lease: Callable[[], None]) -> None:  # noqa: ARG002 - a data set is read within seconds
        spec = self._spec()
        pinned = [*([spec.base] if spec.base else []), *spec.sources]
        with open_session(self.worker.factory, read_only=True) as session:
            registry = RegistryService(session, self.worker.store)
            loaded = [registry.files.load(registry.resolve(f"{model.name}/{model.version}")) for model in pinned]
        base, parent = None, None
        if spec.base is not None:
            base = loaded.pop(0)
            parent = Parent(name=spec.base.name, version=spec.base.version, weights_sha256=spec.base.sha256)
        training_spec = {
            "name": spec.model_name, "method": spec.method, "architecture": spec.architecture,
            "property": spec.property.model_dump(mode="json"), "seed": spec.seed,
            "hyperparameters": spec.hyperparameters.model_dump(mode="json"),
            "dataset_name": spec.dataset_name, "dataset_sha256": spec.dataset_sha256,
            "data_kind": spec.input_kind or InputKind.STRUCTURE,
        }  # fmt: skip
        settings = self.worker.settings
        run = Run(
            spec=training_spec, parent=parent, device=settings.device,
            log_level=settings.log_level, log_format=settings.log_format,
        )  # fmt: skip
        self.folder.write_input(run, stored_rows(self.worker.store, spec.dataset_path), base, loaded)

    def has_result(self) -> bool:
        return self.folder.read_result() is not None

    def finish(self, session: Session) -> Outcome:
        """Model version and success of the job in one transaction: both are there, or neither is."""
        spec, trained = self._spec(), self.folder.read_result()
        assert trained is not None
        manifest, weights, trust = trained
        version = RegistryService(session, self.worker.store).register_version(
            manifest, weights, render_card(manifest), source=FINE_TUNING,
            parent_id=spec.base.id if spec.base else None, dataset_id=spec.dataset_id, job_id=self.job.id,
            promote=is_shown_to_help(manifest), trust=trust,
        )  # fmt: skip
        metrics = manifest.metrics.model_dump(mode="json")
        test_rows = [row.model_dump() for row in self.folder.read_test_rows()]
        result = {
            "model": version.model_name, "version": version.version, "metrics": metrics, "test_rows": test_rows,
        }  # fmt: skip
        if not is_shown_to_help(manifest):
            return Outcome(
                result,
                "The model is ready, but it is not shown to be better than what is simpler or there already: it "
                f"answers as {version.model_name}/{version.version} only, until it is promoted.",
            )
        return Outcome(result, "The model is ready.")

    def _spec(self) -> FineTuningSpec:
        return FineTuningSpec.model_validate(self.job.spec)
