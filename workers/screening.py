"""Screenings: predictions as in bulk, kept at hand to the end, and the choice among them."""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from app.bulk.folder import RunFolder
from app.bulk.repository import BulkPartRepository
from app.bulk.spec import BulkSpec
from app.core.db import open_session
from app.screening.selecting import (
    COUNTS_FILE,
    STRUCTURES_FILE,
    TABLE_FILE,
    read_counts,
    write_wish,
)
from app.screening.spec import RESULT_PATH, SPEC_FILE, STRUCTURES_PATH, ScreeningSpec
from workers.bulk import BulkWork
from workers.work import Event, Outcome


class ScreeningWork(BulkWork):
    module = "workers.screening_process"

    def prepare(self, keep_lease: Callable[[], None]) -> None:
        super().prepare(keep_lease)
        folder = RunFolder(self.folder.path)
        write_wish(folder, self._screening().wish)
        with open_session(self.worker.factory, read_only=True) as session:
            kept = BulkPartRepository(session).paths(self.job.id)
        # What earlier attempts predicted is ranked together with the rest.
        for number, path in kept.items():
            folder.part_path(number).write_bytes(self.worker.store.get(path))
            keep_lease()

    def recorded(self, events: Sequence[Event]) -> None:
        """Parts stay until the end."""

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
        # Candidates of a generator are made by the process, which may take its time.
        (self.folder.path / SPEC_FILE).write_text(self._screening().model_dump_json())
        if self._screening().generator is None:
            super()._write_input(spec, keep_lease)

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
