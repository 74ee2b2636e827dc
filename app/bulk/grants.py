"""Which chunks a run is to do: what a worker has leased, told to the process that does them through a file.

grants.jsonl      one grant a line, appended by whoever holds the leases; {"is_end": true} is the last
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict

GRANTS_FILE = "grants.jsonl"


class Grant(BaseModel):
    """`n` chunks from number `first` on, but those that are `done` already; with `is_end` nothing more will come."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int = 0
    n: int = 0
    done: tuple[int, ...] = ()
    is_end: bool = False


class Grants(Protocol):
    def take(self) -> Grant | None:
        """The next one; None when there is none at the moment."""

    def found_end(self, n_rows: int, n_chunks: int) -> None:
        """Told once the whole input was read, which is before its last chunk is worked on."""


class Everything:
    """Runs that share with nobody: chunk after chunk to the end."""

    def __init__(self) -> None:
        self._next = 0

    def take(self) -> Grant:
        number, self._next = self._next, self._next + 1
        return Grant(first=number, n=1)

    def found_end(self, n_rows: int, n_chunks: int) -> None:
        """Nobody else wants to know."""


class GrantFile:
    """The grants of a folder, read as they come."""

    def __init__(self, folder: Path, tell_end: Callable[[int, int], None]) -> None:
        """`tell_end` is given the numbers of rows and chunks."""
        self._path = folder / GRANTS_FILE
        self.found_end = tell_end
        self._position = 0
        self._waiting: list[Grant] = []

    def take(self) -> Grant | None:
        if not self._waiting:
            self._waiting = list(self._read())
        return self._waiting.pop(0) if self._waiting else None

    def _read(self) -> Iterator[Grant]:
        with self._path.open("rb") as file:
            file.seek(self._position)
            content = file.read()
        complete = content[: content.rfind(b"\n") + 1]
        self._position += len(complete)
        return (Grant.model_validate_json(line) for line in complete.splitlines())


def write_grant(folder: Path, grant: Grant) -> None:
    """One line in one write, so that the reader never sees half of it as a line."""
    with (folder / GRANTS_FILE).open("a", encoding="utf-8") as file:
        file.write(grant.model_dump_json() + "\n")
