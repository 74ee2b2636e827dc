"""Screenings: predictions as in bulk, kept at hand to the end, and the choice among them."""

from collections.abc import Callable, Collection, Sequence

from sqlalchemy.orm import Session

from app.bulk.file_jobs import pieces_of
from app.bulk.folder import RunFolder
from app.bulk.repository import BulkPartRepository
from app.bulk.spec import BulkSpec
from app.core.db import open_session
from app.jobs.models import Job
from app.screening.selecting import (
    COUNTS_FILE,
    STRUCTURES_FILE,
    TABLE_FILE,
    read_counts,
    write_wish,
)
from app.screening.spec import GENERATED_EVENT, RESULT_PATH, SPEC_FILE, STRUCTURES_PATH, ScreeningSpec
from workers.attempt import AttemptFolder
from workers.bulk import INPUT_FILE, BulkWork
from workers.lease import Lease
from workers.work import Event, Outcome


class ScreeningWork(BulkWork):
    def __init__(self, lease: Lease, job: Job, folder: AttemptFolder) -> None:
        super().__init__(lease, job, folder)
        # A helper only predicts.
        self.module = "workers.screening_process" if lease.is_leader else BulkWork.module
        self._is_input_kept = False

    def prepare(self, keep_lease: Callable[[], None]) -> None:
        super().prepare(keep_lease)
        write_wish(RunFolder(self.folder.path), self._screening().wish)

    def keep(self, events: Sequence[Event]) -> None:
        super().keep(events)
        if any(event["kind"] == GENERATED_EVENT for event in events):
            with (self.folder.path / INPUT_FILE).open("rb") as file:
                self.worker.store.put_stream(self._spec().input_path, pieces_of(file))

    def recorded(self, events: Sequence[Event]) -> None:
        super().recorded(events)
        self._is_input_kept = self._is_input_kept or any(event["kind"] == GENERATED_EVENT for event in events)

    def look_after(self) -> None:
        # Nobody can help before the candidates are there for all.
        if self._is_input_kept:
            super().look_after()

    def has_result(self) -> bool:
        return super().has_result() and (self.folder.path / COUNTS_FILE).is_file()

    def finish(self, session: Session) -> Outcome:
        """Raises ArtifactCorrupt unless the recorded parts hold each candidate exactly once."""
        totals, counts = self._complete(session), read_counts(RunFolder(self.folder.path))
        result = {
            "n_inputs": totals.n_inputs,
            "counts": counts,
            RESULT_PATH: self._store_file(TABLE_FILE),
            STRUCTURES_PATH: self._store_file(STRUCTURES_FILE),
        }
        named, all_of_them = counts["selected"], counts["candidates"]
        return Outcome(result, f"{named:,} of {all_of_them:,} candidates are selected.")

    def _write_input(self, spec: BulkSpec, keep_lease: Callable[[], None]) -> None:
        (self.folder.path / SPEC_FILE).write_text(self._screening().model_dump_json())
        # Candidates of a generator are made by the first process, which may take its time.
        if self._screening().generator is None or self.worker.store.exists(spec.input_path):
            super()._write_input(spec, keep_lease)
            self._is_input_kept = True

    def _fetch(self, numbers: Collection[int]) -> None:
        if not self.lease.is_leader:
            return
        folder = RunFolder(self.folder.path)
        missing = {number for number in numbers if not folder.part_path(number).is_file()}
        with open_session(self.worker.factory, read_only=True) as session:
            paths = BulkPartRepository(session).paths(self.job.id) if missing else {}
        for number in missing:
            folder.part_path(number).write_bytes(self.worker.store.get(paths[number]))
            self._keep_lease()

    def _drop(self, numbers: Sequence[int]) -> None:
        """All parts stay with the leader to the end, to be ranked together."""
        if not self.lease.is_leader:
            super()._drop(numbers)

    def _store_file(self, name: str) -> str | None:
        """Where it was put, beside the parts; None where there is no such file."""
        source = self.folder.path / name
        if not source.is_file():
            return None
        path = f"{self._spec().parts_prefix}/{self._attempt_name}-{name}"
        self.worker.store.put_new(path, source.read_bytes())
        return path

    def _screening(self) -> ScreeningSpec:
        return ScreeningSpec.model_validate(self.job.spec)

    def _spec(self) -> BulkSpec:
        return self._screening().predictions
