"""What commands print: tables for people, JSON and CSV for programs; errors as one sentence on stderr."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from app.core.errors import XtalforgeError

EXIT_ERROR = 1
EXIT_PARTIAL = 3

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
IntervalLevelOption = Annotated[
    float, typer.Option("--interval-level", min=0.5, max=0.99, help="Share of true values that intervals are to hold.")
]

_PIPED_WIDTH = 160

# A pipe has no width; rich would take 80 columns and break every name.
stdout = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
stderr = Console(stderr=True)


class ReportingGroup(TyperGroup):
    """Turns known errors of any command into a sentence and exit status 1; a traceback means a fault of ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except XtalforgeError as error:
            print_error(error.detail, error.code)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
            )
            is_setting = error.title == "Settings"
            prefix = "The settings cannot be used: " if is_setting else ""
            print_error(prefix + problems, "invalid_settings" if is_setting else "invalid_request")
        except KeyboardInterrupt:
            stderr.print("stopped")
        raise typer.Exit(EXIT_ERROR)


def print_error(detail: str, code: str) -> None:
    stderr.print(f"[bold red]error[/] [dim]({code})[/] ", end="")
    stderr.print(detail, markup=False, highlight=False)


def print_json(value: BaseModel | Mapping[str, Any] | Sequence[Any]) -> None:
    text = value.model_dump_json(indent=2) if isinstance(value, BaseModel) else json.dumps(value, indent=2, default=str)
    sys.stdout.write(text + "\n")


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; columns whose name ends with `#` hold numbers and are set flush right."""
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        is_number = column.endswith("#")
        table.add_column(column.rstrip("#"), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    stdout.print(table, markup=False)
