"""What commands print: tables for people, JSON and CSV for programs; errors as one sentence on stderr."""

import csv
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from app.core.errors import XtalforgeError

EXIT_ERROR = 1
"""Nothing could be done, or the job failed."""
EXIT_PARTIAL = 3
"""Some could be done, some not."""
EXIT_REFUSED = 4
"""What was named is not there, or the request was refused as it is."""
EXIT_UNREACHABLE = 5
"""The server, or what it needs, does not answer or is busy: the same may work later."""
EXIT_STOPPED = 130
"""Ctrl-C, as shells have it."""

_LATER = (429, 502, 503, 504)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server", metavar="URL", envvar="XTALFORGE_URL", help="A running server to ask, instead of this machine."
    ),
]
IntervalLevelOption = Annotated[
    float, typer.Option("--interval-level", min=0.5, max=0.99, help="Share of true values that intervals are to hold.")
]

_PIPED_WIDTH = 160
_SECONDS = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)$")
_IDENTIFIER = re.compile(r"[a-z]+_[0-9a-f]{32}")

# A pipe has no width; rich would take 80 columns and break every name.
stdout = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
stderr = Console(stderr=True)


class ReportingGroup(TyperGroup):
    """Turns known errors of any command into a sentence and an exit status; a traceback means a fault of ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except XtalforgeError as error:
            print_error(error.detail, error.code)
            raise typer.Exit(exit_status(error)) from None
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
            )
            is_setting = error.title == "Settings"
            prefix = "The settings cannot be used: " if is_setting else ""
            print_error(prefix + problems, "invalid_settings" if is_setting else "invalid_request")
            raise typer.Exit(EXIT_ERROR if is_setting else EXIT_REFUSED) from None
        except KeyboardInterrupt:
            stderr.print("stopped")
            raise typer.Exit(EXIT_STOPPED) from None


def exit_status(error: XtalforgeError) -> int:
    """What an error means to a script."""
    if error.status in _LATER:
        return EXIT_UNREACHABLE
    return EXIT_REFUSED if 400 <= error.status < 500 else EXIT_ERROR


def print_error(detail: str, code: str) -> None:
    stderr.print(f"[bold red]error[/] [dim]({code})[/] ", end="")
    # Not broken into lines of the terminal's width: who searches a log finds the sentence whole.
    stderr.print(detail, markup=False, highlight=False, soft_wrap=True)


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
    cells = [["" if cell is None else _SECONDS.sub(r"\1 \2Z", str(cell)) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        is_number = column.endswith("#")
        # An identifier in two pieces cannot be copied into the next command.
        whole = any(_IDENTIFIER.fullmatch(row[index]) for row in cells)
        justify: Literal["right", "left"] = "right" if is_number else "left"
        table.add_column(column.rstrip("#"), justify=justify, overflow="fold", no_wrap=whole)
    for row in cells:
        table.add_row(*row)
    stdout.print(table, markup=False)


def print_records(records: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool) -> None:
    """A list: as JSON whole, as a table the columns `path.to.value` -> heading."""
    if as_json:
        print_json(records)
    elif not records:
        stderr.print("none")
    else:
        print_table("", list(columns.values()), ([_picked(record, path) for path in columns] for record in records))


def print_record(record: Mapping[str, Any], *, as_json: bool) -> None:
    """One thing: as JSON whole, for people a line for each of its plain values."""
    if as_json:
        print_json(record)
        return
    print_table("", ("", " "), ((key, _plain(value)) for key, value in record.items() if value not in (None, "", [])))


def _picked(record: Mapping[str, Any], path: str) -> object:
    value: Any = record
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return _plain(value)


def _plain(value: Any) -> object:
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value) if isinstance(value, list | dict) else value
