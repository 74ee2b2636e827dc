"""The unit of bulk work: rows that one process answers in one go and whose results are one file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.datasets.rows import RawRow

CHUNK_ROWS = 1_000
CHUNK_CHARACTERS = 16_000_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that follow each other; `number` counts from 0."""

    number: int
    rows: list[RawRow]

    @property
    def first_row(self) -> int:
        """Place of the first row in the file, from 1."""
        return self.rows[0].line


def cut(rows: Iterable[RawRow], max_rows: int, max_characters: int) -> Iterator[Chunk]:
    """Rows in chunks, a new one before either bound is passed; the same rows are always cut at the same places."""
    number, held, characters = 0, list[RawRow](), 0
    for row in rows:
        if held and (len(held) == max_rows or characters + len(row.text) > max_characters):
            yield Chunk(number, held)
            number, held, characters = number + 1, [], 0
        held.append(row)
        characters += len(row.text)
    if held:
        yield Chunk(number, held)
