"""`xtalforge reproduce`: run a paper's protocol and write its tables and figures."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from tqdm import tqdm

from app.cli.output import print_error, stderr

if TYPE_CHECKING:
    from app.reproduction.protocols import Protocol
    from app.reproduction.trials import Places


def reproduce(
    paper: Annotated[str, typer.Argument(help="tl-cgcnn, schnet-tl or tlrl.")],
    data_kit: Annotated[Path, typer.Option(envvar="XTALFORGE_DATA_KIT", help="Folder with the Parquet files.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Results go to OUT/PAPER. [default: benchmarks/results/reproduction; with --quick WORK_DIR/quick]"
        ),
    ] = None,
    work_dir: Annotated[Path, typer.Option(help="States of interrupted trials, and sources.")] = Path(
        "data/reproduction"
    ),
    models: Annotated[Path, typer.Option(help="Shipped models.")] = Path("models_store"),
    graphs: Annotated[Path, typer.Option(help="Graphs of whole source files, for --source.")] = Path("data/pretrain"),
    only: Annotated[list[str] | None, typer.Option(help="Targets whose names begin so; may be repeated.")] = None,
    system: Annotated[list[str] | None, typer.Option(help="Systems whose name holds this; may be repeated.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Instead of the paper's number.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="CPU processes of one thread each.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda. A GPU trains trials side by side.")] = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Few rows and epochs: does all of it run?")] = False,
    source: Annotated[list[str] | None, typer.Option(help="Train this source, and no trials; may be repeated.")] = None,
    report_only: Annotated[bool, typer.Option("--report-only", help="Tables and figures of what is there.")] = False,
) -> None:
    """Run the trials of PAPER that are not there yet; then write OUT/PAPER/report.md and figures.

    Interrupted, run it again to go on: finished trials are kept, the one at work goes on from its last state.
    """
    # Before torch: threads that wait and spin would make each other wait longer on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from app.learning.device import torch_device
    from app.reproduction.protocols import get_protocol
    from app.reproduction.report import write_report
    from app.reproduction.runner import Selection, run_trials, wanted_trials
    from app.reproduction.store import ResultStore
    from app.reproduction.trials import Places

    torch.set_num_threads(1)
    protocol = get_protocol(paper, quick)
    places = Places(data_kit, models, work_dir / "quick" if quick else work_dir)
    where = torch_device(device).type
    if source:
        _train_sources(protocol, source, places, where, graphs)
        return
    results = out or (places.work if quick else Path("benchmarks/results/reproduction"))
    store = ResultStore(results / protocol.name)
    selection = Selection(tuple(only or ()), tuple(system or ()), trials)
    try:
        wanted, reasons = wanted_trials(protocol, selection, places)
        for reason in reasons:
            stderr.print(f"left out: {reason}", markup=False, highlight=False)
        if not report_only:
            with TrialMeter() as meter:
                run_trials(protocol, wanted, store, places, where, processes, meter)
    except FileNotFoundError as error:
        print_error(f"{error.filename} is not there: --data-kit must name the folder with the data.", "data_missing")
        raise typer.Exit(1) from None
    # Selections add up in the store, and folders are the user's own: the paper's name is what repeats the tables.
    command = ["xtalforge", "reproduce", paper, *(["--quick"] if quick else [])]
    typer.echo(str(write_report(protocol, store, places, command)))


class TrialMeter:
    """A progress bar of trials; what is being done stands behind it."""

    def __init__(self) -> None:
        self._bar = tqdm(unit="trial", file=sys.stderr)
        self._is_watched = sys.stderr.isatty()

    def __enter__(self) -> "TrialMeter":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def start(self, total: int) -> None:
        self._bar.reset(total)

    def say(self, text: str) -> None:
        if self._is_watched:
            self._bar.set_postfix_str(text)

    def done(self, text: str) -> None:
        self._bar.write(text, file=sys.stderr)
        self._bar.update()


def _train_sources(protocol: "Protocol", names: list[str], places: "Places", device: str, graphs: Path) -> None:
    from app.learning.training_job import TrainingEvent
    from app.reproduction.sources import train_source
    from app.reproduction.trials import source_folder

    for name in names:
        preparing = tqdm(desc="featurising", unit="row", file=sys.stderr)
        training = tqdm(desc=name, unit="epoch", file=sys.stderr)

        def on_featurised(done: int, total: int, bar: "tqdm[NoReturn]" = preparing) -> None:
            bar.total = total
            bar.update(done - bar.n)

        def on_event(event: TrainingEvent, bar: "tqdm[NoReturn]" = training) -> None:
            bar.total = event.max_epochs
            bar.update(event.epoch - bar.n)
            bar.set_postfix(loss=f"{event.train_loss:.4f}", val_mae=f"{event.val_mae:.4f}")

        manifest = train_source(protocol, name, places, device, on_event, on_featurised, graphs)
        preparing.close()
        training.close()
        test = manifest.metrics.test
        assert test is not None
        folder = source_folder(protocol.sources[name], name, places)
        typer.echo(f"{folder}: test MAE {test.mae:.4f} {manifest.property.unit} on {test.n} rows.")
