"""What commands read from files and formulas on the command line."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from app.core.settings import LimitSettings
from app.predictions.inputs import FailedInput, Formula, RawInput, refuse_duplicate_ids
from app.predictions.uploads import UploadedFile, read_uploads


def read_inputs(
    paths: Sequence[Path], compositions: Sequence[str], limits: LimitSettings
) -> tuple[list[RawInput], list[FailedInput]]:
    """All inputs of these, and what cannot be opened. Raises what `read_uploads` raises."""
    with ExitStack() as stack:
        uploads = [UploadedFile(str(path), stack.enter_context(path.open("rb"))) for path in _expanded(paths)]
        inputs, failed = read_uploads(uploads, limits)
    inputs += [RawInput(text, Formula(text)) for text in compositions]
    refuse_duplicate_ids(entry.id for entry in inputs)
    return inputs, failed


def _expanded(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        else:
            yield path
