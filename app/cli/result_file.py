"""Files of results, whose names say how they are written."""

from pathlib import Path

import typer

from app.bulk.formats import ResultFormat


def result_format(output: Path) -> ResultFormat:
    """Raises BadParameter."""
    try:
        return ResultFormat(output.suffix.lower().removeprefix("."))
    except ValueError:
        raise typer.BadParameter("must end with .csv, .jsonl or .parquet", param_hint="--output") from None
