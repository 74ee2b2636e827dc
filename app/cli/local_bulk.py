"""A bulk prediction on this machine."""

from pathlib import Path

from app.bulk.choosing import choose_models
from app.bulk.folder import BulkRun, RunFolder
from app.bulk.formats import ResultFormat
from app.bulk.inputs import look_at
from app.bulk.parts import read_part, total
from app.bulk.results import encode
from app.bulk.schemas import ModelChoice
from app.bulk.spec import ModelUse
from app.cli.installation import open_installation
from app.cli.local_run import NO_LIMIT, finished_run, no_limits, state_of, write_pieces
from app.cli.output import stderr
from app.core.settings import Settings
from app.predictions.directory import ModelDirectory


def run_here(
    settings: Settings, data: Path, output: Path, fmt: ResultFormat, choice: ModelChoice, processes: int | None
) -> tuple[int, int]:
    """Inputs done, and those among them without a value. Raises what `finished_run` raises."""
    request = f"{state_of(data)} {choice.model_dump_json()}"
    with finished_run(settings, output, request, processes, lambda f: _create(settings, f, data, choice)) as folder:
        infos = folder.parts()
        write_pieces(output, encode(map(read_part, (folder.part_path(info.number) for info in infos)), fmt))
    n_inputs, n_failed, _ = total(infos)
    return n_inputs, n_failed


def _create(settings: Settings, folder: RunFolder, data: Path, choice: ModelChoice) -> None:
    limits = no_limits(settings)
    with data.open("rb") as file:
        found = look_at(file, limits, NO_LIMIT)
    for note in found.notes:
        stderr.print(f"- {note}", markup=False, highlight=False)
    with open_installation(settings) as local:
        directory = ModelDirectory(local.sessions, local.store)
        models = choose_models(directory, choice, found)
        run = BulkRun(
            input_path=str(data.resolve()), input=found, models=tuple(ModelUse.of(model) for model in models),
            limits=limits, n_processes=1, device=settings.device, interval_level=choice.interval_level,
        )  # fmt: skip
        folder.create(run, (directory.load(model.version) for model in models))
