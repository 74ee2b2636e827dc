"""Bulk predictions: the input and the models in, parts in the artifact store out, recorded as they are finished.

Any number of workers takes part in a job. Each has the whole input and does the chunks of the shards that it has
leased; the one that leads ends the job once all shards are done.
"""

import hashlib
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.bulk.file_jobs import bulk_limits
from app.bulk.folder import BulkRun, RunFolder
from app.bulk.models import BulkPart
from app.bulk.parts import PartInfo
from app.bulk.repository import BulkPartRepository, Totals
from app.bulk.run import default_processes
from app.bulk.spec import BulkSpec
from app.core.db import open_session
from app.core.errors import ArtifactCorrupt
from app.core.logging import get_logger
from app.jobs.errors import JobErrorCode
from app.jobs.kinds import JobKind
from app.jobs.shards import InputSize, ShardRepository
from app.registry.artifact import Artifact
from app.registry.service import RegistryService
from workers.shares import FIRST_PER_PROCESS, Shares
from workers.work import Event, Outcome, Work

INPUT_FILE = "input"
DONE_FILE = "done"
PART_EVENT = "part"
END_EVENT = "end"
PROGRESS_EVENT = "progress"

NICENESS = 10
"""A long screening on a machine that also answers requests lets those go first."""

SHORTEST_PROGRESS_S, LONGEST_PROGRESS_S = 2.0, 60.0
PROGRESS_SHARE = 0.02
"""A job tells its progress after each 2 % of the time it has taken so far, so that long ones do not tell it forever."""


log = get_logger(__name__)


class BulkWork(Work):
    module = "workers.bulk_process"
    failure_code = JobErrorCode.RUN_FAILED
    memory_advice = "let fewer processes work at once (XTALFORGE_BULK__PROCESSES)"

    _attempt_name: str
    _started_at: float
    _told_at: float
    _shares: Shares
    _keep_lease: Callable[[], None]
    _has_succeeded = False

    def prepare(self, keep_lease: Callable[[], None]) -> None:
        # A name of its own for each attempt: one that lost its lease never writes where the next one does.
        self._attempt_name = secrets.token_hex(4)
        self._started_at = self._told_at = time.monotonic()
        spec, settings = self._spec(), self.worker.settings
        n_processes = settings.bulk.processes or default_processes()
        self._keep_lease = keep_lease
        is_long = (spec.input.n_rows or 0) > spec.chunk_rows * FIRST_PER_PROCESS * n_processes
        self._shares = Shares(self.lease, JobKind(self.job.kind), self.folder.path, n_processes, is_long=is_long)
        self._write_input(spec, keep_lease)
        run = BulkRun(
            input_path=INPUT_FILE, input=spec.input, models=spec.models, limits=bulk_limits(settings),
            counts=self.lease.is_leader, chunk_rows=spec.chunk_rows,
            chunk_characters=spec.chunk_characters, interval_level=spec.interval_level,
            elements=spec.elements, n_processes=n_processes, niceness=NICENESS,
            device=settings.device, log_level=settings.log_level, log_format=settings.log_format,
        )  # fmt: skip
        RunFolder(self.folder.path).create(run, self._models(spec, keep_lease))
        self.look_after()

    def keep(self, events: Sequence[Event]) -> None:
        for part in _parts_of(events):
            content = RunFolder(self.folder.path).part_path(part.number).read_bytes()
            self.worker.store.put_new(self._store_path(part), content)

    def record(self, session: Session, events: Sequence[Event]) -> Sequence[Event]:
        parts = _parts_of(events)
        sizes = [InputSize(**event["data"]) for event in events if event["kind"] == END_EVENT]
        if parts or sizes:
            self._shares.record(session, [part.number for part in parts], sizes[0] if sizes else None)
        BulkPartRepository(session).add([self._row(part) for part in parts])
        told = [event for event in events if event["kind"] not in (PART_EVENT, END_EVENT)]
        if parts and self._is_time_to_tell():
            totals = BulkPartRepository(session).totals([self.job.id])[self.job.id]
            told.append(_progress_event(totals))
        return told

    def recorded(self, events: Sequence[Event]) -> None:
        parts = _parts_of(events)
        self._shares.recorded(len(parts))
        self._drop([part.number for part in parts])

    def renew(self, session: Session) -> None:
        self._shares.renew(session)

    def look_after(self) -> None:
        if not self._shares.claim_ahead(self._fetch):
            if self.lease.is_leader:
                with open_session(self.worker.factory, read_only=True) as session:
                    numbers = list(BulkPartRepository(session).paths(self.job.id))
                self._fetch(numbers)
            self._shares.end()

    def has_result(self) -> bool:
        return (self.folder.path / DONE_FILE).is_file()

    def finish(self, session: Session) -> Outcome:
        """Raises ArtifactCorrupt unless the recorded parts hold each input exactly once."""
        totals = self._complete(session)
        reason = f"{totals.n_inputs:,} inputs are done, {totals.n_failed:,} of them without a value."
        return Outcome({"n_inputs": totals.n_inputs, "n_failed": totals.n_failed, "n_lines": totals.n_lines}, reason)

    def ended(self) -> None:
        spec = self._spec()
        # What did not succeed may be tried again.
        if self._has_succeeded and spec.dataset_id is None:
            self.worker.store.delete(spec.input_path)

    def left(self) -> None:
        try:
            self._shares.give_back()
        except SQLAlchemyError as error:
            log.warning("shards not given back; their leases run out", reason=str(error))
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def _fetch(self, numbers: Collection[int]) -> None:
        """Bring parts of others here, where they are needed at the end."""

    def _drop(self, numbers: Sequence[int]) -> None:
        """These are kept in the store."""
        for number in numbers:
            RunFolder(self.folder.path).part_path(number).unlink(missing_ok=True)

    def _write_input(self, spec: BulkSpec, keep_lease: Callable[[], None]) -> None:
        digest = hashlib.sha256()
        with (self.folder.path / INPUT_FILE).open("wb") as file:
            for piece in self.worker.store.stream(spec.input_path):
                digest.update(piece)
                file.write(piece)
                keep_lease()
        if spec.dataset_id is None and spec.input_sha256 not in ("", digest.hexdigest()):
            raise ArtifactCorrupt(f"The stored input {spec.input_path} is damaged: its sha256 differs.")

    def _complete(self, session: Session) -> Totals:
        shards = ShardRepository(session)
        size = shards.size(self.job.id)
        totals = BulkPartRepository(session).totals([self.job.id]).get(self.job.id, Totals())
        if not shards.is_complete(self.job.id) or size != (totals.n_inputs, totals.n_parts):
            expected = f"{size.n_rows:,} in {size.n_chunks} chunks" if size is not None else "more than was read"
            raise ArtifactCorrupt(
                f"{totals.n_parts} parts with {totals.n_inputs:,} inputs were recorded, but the file has {expected}."
            )
        self._has_succeeded = True
        return totals

    def _models(self, spec: BulkSpec, keep_lease: Callable[[], None]) -> Iterator[Artifact]:
        for use in spec.models:
            with open_session(self.worker.factory, read_only=True) as session:
                registry = RegistryService(session, self.worker.store)
                yield registry.files.artifact(registry.get_version(use.name, use.version))
            keep_lease()

    def _row(self, part: PartInfo) -> BulkPart:
        size = RunFolder(self.folder.path).part_path(part.number).stat().st_size
        return BulkPart(
            job_id=self.job.id, number=part.number, n_inputs=part.n_inputs, n_failed=part.n_failed,
            n_lines=part.n_lines, path=self._store_path(part), size_bytes=size,
        )  # fmt: skip

    def _store_path(self, part: PartInfo) -> str:
        return f"{self._spec().parts_prefix}/{part.number:08d}-{self._attempt_name}.parquet"

    def _is_time_to_tell(self) -> bool:
        now = time.monotonic()
        share_s = PROGRESS_SHARE * (now - self._started_at)
        if now - self._told_at < min(LONGEST_PROGRESS_S, max(SHORTEST_PROGRESS_S, share_s)):
            return False
        self._told_at = now
        return True

    def _spec(self) -> BulkSpec:
        return BulkSpec.model_validate(self.job.spec)


def part_event(part: PartInfo) -> Event:
    """What the process tells of a part that it has written."""
    data = {name: getattr(part, name) for name in PartInfo.__slots__}
    return {"kind": PART_EVENT, "message": f"Part {part.number} is written.", "data": data}


def end_event(n_rows: int, n_chunks: int) -> Event:
    """What the process tells when it has read the whole input."""
    return {
        "kind": END_EVENT, "message": "The input is read.", "data": InputSize(n_rows, n_chunks)._asdict()
    }  # fmt: skip


def _parts_of(events: Sequence[Event]) -> list[PartInfo]:
    return [PartInfo(**event["data"]) for event in events if event["kind"] == PART_EVENT]


def _progress_event(totals: Totals) -> Event:
    message = f"{totals.n_inputs:,} inputs are done, {totals.n_failed:,} of them without a value."
    return {
        "kind": PROGRESS_EVENT, "message": message, "data": {"done": totals.n_inputs, "failed": totals.n_failed}
    }  # fmt: skip
