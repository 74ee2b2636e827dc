"""What a benchmark has measured: a line of JSON each, kept from run to run, and the report made of all of them."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

Lines = Sequence[dict[str, Any]]


class ResultLines:
    """`runs.jsonl` and `report.md` of a folder."""

    def __init__(self, folder: Path, report: Callable[[Lines], str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._report = folder, report
        self._store = folder / "runs.jsonl"
        self.lines = (
            [json.loads(line) for line in self._store.read_text().splitlines()] if self._store.is_file() else []
        )

    def done(self, *names: str) -> set[tuple[Any, ...]]:
        """The values under these names, of each line."""
        return {tuple(line[name] for name in names) for line in self.lines}

    def add(self, line: dict[str, Any], shown: str) -> None:
        """Keep it at once, and tell whoever watches."""
        self.lines.append(line)
        with self._store.open("a") as file:
            file.write(json.dumps(line) + "\n")
        tqdm.write(shown, file=sys.stderr)

    def write_report(self) -> None:
        """Of all lines, those of former runs included."""
        (self._folder / "report.md").write_text(self._report(self.lines))
