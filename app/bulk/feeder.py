"""The input of a run, cut into tasks as chunks are granted."""

from collections.abc import Iterator

from app.bulk.chunks import Chunk, cut
from app.bulk.folder import BulkRun, RunFolder
from app.bulk.grants import Grant, Grants
from app.bulk.inputs import read_rows
from app.bulk.pool import Task


class Feeder:
    """Reads on as far as chunks are granted, and one chunk ahead; begins again for a chunk that lies behind."""

    def __init__(self, folder: RunFolder, run: BulkRun, grants: Grants) -> None:
        self._folder, self._run = folder, run
        self._grants = grants
        self._reader = _Reader(folder, run)
        self._granted: set[int] = set()
        self.n_rows = 0
        self.n_chunks: int | None = None

    def tasks(self, *, has_to_count: bool) -> Iterator[Task | None]:
        """None: nothing to do at the moment. Ends when all of the input was granted, or no more will be."""
        if has_to_count:
            yield Task(None)
        while not self._has_everything():
            grant = self._grants.take()
            if grant is None:
                yield None
            elif grant.is_end:
                return
            else:
                yield from self._granted_tasks(grant)

    def _granted_tasks(self, grant: Grant) -> Iterator[Task]:
        for number in range(grant.first, grant.first + grant.n):
            self._note(number)
            if number in grant.done or self._folder.part_path(number).exists():
                self._look_for_end(number)
                continue
            chunk = self._reader.chunk(number)
            # The end is told before the last chunk is worked on: whoever else looks for work need not come here.
            self._look_for_end(number)
            if chunk is None:
                return
            yield Task(chunk)

    def _look_for_end(self, number: int) -> None:
        if self.n_chunks is None and self._reader.chunk(number + 1) is None:
            n_chunks = self._reader.n_chunks
            self.n_rows, self.n_chunks = self._reader.n_rows, n_chunks
            self._granted = {granted for granted in self._granted if granted < n_chunks}
            self._grants.found_end(self.n_rows, n_chunks)

    def _note(self, number: int) -> None:
        if self.n_chunks is None or number < self.n_chunks:
            self._granted.add(number)

    def _has_everything(self) -> bool:
        return len(self._granted) == self.n_chunks


class _Reader:
    """Chunks by number, from the file read in order; one chunk is held."""

    _chunks: Iterator[Chunk]
    _held: Chunk | None
    _held_number: int
    _is_through: bool
    n_rows: int
    n_chunks: int

    def __init__(self, folder: RunFolder, run: BulkRun) -> None:
        self._folder, self._run = folder, run
        self._begin()

    def chunk(self, number: int) -> Chunk | None:
        """None beyond the end."""
        if number < self._held_number or (number == self._held_number and self._held is None):
            self._begin()
        while self._held_number < number and not self._is_through:
            self._held = next(self._chunks, None)
            self._is_through = self._held is None
            if self._held is not None:
                self._held_number = self._held.number
                self.n_rows += len(self._held.rows)
                self.n_chunks += 1
        return self._held if self._held is not None and self._held.number == number else None

    def _begin(self) -> None:
        run = self._run
        rows = read_rows(self._folder.input_path(run), run.input, run.limits)
        self._chunks = cut(rows, run.chunk_rows, run.chunk_characters)
        self._held = None
        self._held_number = -1
        self._is_through = False
        self.n_rows = 0
        self.n_chunks = 0
