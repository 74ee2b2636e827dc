"""`xtalforge screen`: the best of many candidates, here or on a server."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.bulk.formats import ResultFormat
from app.cli.installation import DataDirOption, settings_with
from app.cli.output import (
    EXIT_ERROR,
    EXIT_PARTIAL,
    IntervalLevelOption,
    JsonOption,
    ServerOption,
    print_error,
    print_json,
    print_record,
    print_table,
    stderr,
)
from app.cli.result_file import result_format
from app.cli.starting import DatasetOption, DetachOption, Started, WebhookOption, WebhookSecretOption
from app.predictions.schemas import DEFAULT_LEVEL

if TYPE_CHECKING:
    import pyarrow as pa

    from app.screening.schemas import ScreeningCreate
    from app.screening.wish import ScreeningWish

_SHOWN = 20

Repeated = list[str] | None


def screen(
    candidates: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV, JSONL or Parquet with a column cif, poscar, structure, composition or formula, and id if you "
            "like; or a zip of structure files. Without it: --prototype, --substitute, --mix, --dataset or --request.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", dir_okay=False, help="A .csv, .jsonl or .parquet file.")
    ] = Path("screened.csv"),
    where: Annotated[
        Repeated, typer.Option("--where", "-w", help="KEY=LOW..HIGH in the property's unit; either may be left out.")
    ] = None,
    maximise: Annotated[Repeated, typer.Option(help="Property key.")] = None,
    minimise: Annotated[Repeated, typer.Option(help="Property key.")] = None,
    near: Annotated[Repeated, typer.Option(help="KEY=VALUE: the nearer the better.")] = None,
    model: Annotated[Repeated, typer.Option("--model", "-m", help="NAME, NAME@ALIAS or NAME/VERSION.")] = None,
    wanted: Annotated[Repeated, typer.Option("--property", "-p", help="Another property to report.")] = None,
    prototype: Annotated[Repeated, typer.Option(help="Structure type to fill, such as perovskite; repeatable.")] = None,
    site: Annotated[Repeated, typer.Option(help="A=Ca,Sr,Ba: elements for a site of the prototypes.")] = None,
    substitute: Annotated[
        list[Path] | None, typer.Option(exists=True, dir_okay=False, help="CIF or POSCAR to substitute into.")
    ] = None,
    swap: Annotated[Repeated, typer.Option(help="Sr=Ca,Ba: what may take an element's place.")] = None,
    mix: Annotated[Repeated, typer.Option(help="Formula of an end of a solid solution; give two or more.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps from end to end. [default: 20]")] = None,
    any_charge: Annotated[bool, typer.Option("--any-charge", help="Not only what can be neutral.")] = False,
    perovskite_fit: Annotated[
        bool, typer.Option("--perovskite-fit", help="Of perovskites only those whose ions fit (Goldschmidt).")
    ] = False,
    has: Annotated[str | None, typer.Option(help="O,Ti: elements that must be there.")] = None,
    without: Annotated[str | None, typer.Option(help="Pb,Cd: elements that must not.")] = None,
    only: Annotated[str | None, typer.Option(help="Li,O,P: nothing but these.")] = None,
    max_elements: Annotated[int | None, typer.Option(min=1, help="Most different elements.")] = None,
    count: Annotated[int | None, typer.Option("--count", "-k", min=1, help="Most to select. [default: 100]")] = None,
    min_probability: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Of meeting everything of --where. [default: 0.5]")
    ] = None,
    rank_by: Annotated[str | None, typer.Option(help="probability, objective or pareto.")] = None,
    diverse: Annotated[bool, typer.Option("--diverse", help="Of the best, those that differ most.")] = False,
    any_domain: Annotated[
        bool, typer.Option("--any-domain", help="Not only what is like the training data of the models.")
    ] = False,
    cifs: Annotated[Path | None, typer.Option(dir_okay=False, help="A .zip for the CIFs of those selected.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Write every candidate, with what became of it.")] = False,
    request: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON, as POST /v1/screenings takes it.")
    ] = None,
    level: IntervalLevelOption = DEFAULT_LEVEL,
    processes: Annotated[int | None, typer.Option(min=1, help="[default: one for each core]")] = None,
    dataset: DatasetOption = None,
    is_detached: DetachOption = False,
    webhook: WebhookOption = None,
    webhook_secret_file: WebhookSecretOption = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Predict properties of many candidates, sieve them, and name the best.

    Stopped with Ctrl-C, the same command goes on where it was. Exit status 0: at least one is selected. 3: so, but
    some candidates have no value. 1: none is selected.
    """
    started = Started(server, webhook, webhook_secret_file, is_detached)
    fmt = result_format(output)
    if server is not None and processes is not None:
        raise typer.BadParameter("a server has its own number of processes", param_hint="--processes")
    with stderr.status("loading"):
        from app.cli.screen_request import Options, comma_separated, requested
    elements = {
        "all_of": comma_separated(has), "none_of": comma_separated(without), "only": comma_separated(only),
        "at_most": max_elements,
    }  # fmt: skip
    others: dict[str, Any] = {
        "models": model, "properties": wanted, "count": count, "min_probability": min_probability, "rank_by": rank_by,
        "diverse": diverse or None, "in_domain": False if any_domain else None,
        "interval_level": level if level != DEFAULT_LEVEL else None, "dataset_id": dataset,
    }  # fmt: skip
    options = Options(
        request, where or (), maximise or (), minimise or (), near or (), elements, prototype or (), site or (),
        substitute or (), swap or (), mix or (), steps, not any_charge, perovskite_fit, others,
    )  # fmt: skip
    wish, whole = requested(options, candidates is not None)
    if server is None:
        from app.cli.local_screening import LocalScreening

        here = LocalScreening(settings_with(data_dir=data_dir), candidates, wish, whole)
        counts, table = here.run(output, processes, cifs)
    else:
        found = _on_server(server, candidates, wish, whole, cifs, started, as_json)
        if found is None:
            return
        counts, table = found
    _write(table, output, fmt, everything)
    _report(counts, table, output, as_json)


def _on_server(
    url: str, data: Path | None, wish: "ScreeningWish", request: "ScreeningCreate | None", cifs: Path | None,
    started: Started, as_json: bool,
) -> "tuple[dict[str, int], pa.Table] | None":  # fmt: skip
    """Counts and table of all candidates; None: nothing is waited for."""
    from app.cli.remote_screening import fetch_from_server, start_on_server
    from app.cli.server import Server
    from app.screening.schemas import ResultScope
    from app.screening.table import read_table

    with TemporaryDirectory() as folder, Server(url) as remote:
        job = start_on_server(remote, data, wish, request, started)
        if started.is_detached:
            print_record(job, as_json=as_json)
            return None
        downloaded = Path(folder) / "results.parquet"
        counts = fetch_from_server(remote, job, downloaded, cifs)
        return counts, read_table(downloaded, ResultScope.ALL)


def _write(table: "pa.Table", output: Path, fmt: ResultFormat, everything: bool) -> None:
    from app.bulk.results import encode
    from app.cli.local_run import write_pieces
    from app.screening.table import pieces, selected

    written = table if everything else selected(table)
    write_pieces(output, encode(pieces(written), fmt, written.schema))


def _report(counts: dict[str, int], table: "pa.Table", output: Path, as_json: bool) -> None:
    from app.screening.table import selected

    best = selected(table)
    if as_json:
        print_json({"counts": counts, "output": str(output), "selected": best.to_pylist()})
    else:
        _print(best)
        parts = [f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n and name != "candidates"]
        stderr.print(
            f"{counts['candidates']:,} candidates: {', '.join(parts)}. {output}", markup=False, highlight=False
        )
    if not counts["selected"]:
        print_error("No candidate is selected; --all writes why.", "nothing_selected")
        raise typer.Exit(EXIT_ERROR)
    if counts["errors"]:
        raise typer.Exit(EXIT_PARTIAL)


def _print(best: "pa.Table") -> None:
    numbers = [name for name in best.schema.names if name.endswith("]") and name.count(" ") == 1]
    numbers += [name for name in ("probability", "front") if name in best.schema.names]
    print_table(
        "" if len(best) <= _SHOWN else f"the first {_SHOWN} of {len(best):,}",
        ("rank#", "candidate", "formula", *(f"{name}#" for name in numbers)),
        (
            (row["rank"], row["input_id"], row["formula"], *(f"{row[name]:.4g}" for name in numbers))
            for row in best.slice(0, _SHOWN).to_pylist()
        ),
    )
