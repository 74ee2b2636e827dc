"""`xtalforge predict`: predictions on this machine, without a server."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from app.cli.installation import DataDirOption, Installation, open_installation, settings_with
from app.cli.output import EXIT_ERROR, EXIT_PARTIAL, JsonOption, print_csv, print_error, print_json, print_table, stderr
from app.core.settings import LimitSettings, Settings
from app.predictions.inputs import FailedInput, Formula, RawInput, refuse_duplicate_ids
from app.predictions.schemas import Prediction, PredictionAnswer
from app.predictions.service import PredictionService
from app.predictions.uploads import UploadedFile, read_uploads

CHUNK = 200
_NO_LIMIT = 10_000_000
_CSV_COLUMNS = ("input_id", "property", "value", "unit", "model", "version", "in_domain", "notes")


def predict(
    files: Annotated[
        list[Path] | None, typer.Argument(exists=True, help="CIF, POSCAR or JSON files, zips or folders.")
    ] = None,
    composition: Annotated[list[str] | None, typer.Option("--composition", "-c", help="A formula; repeatable.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="NAME, NAME@ALIAS or NAME/VERSION.")] = None,
    wanted: Annotated[list[str] | None, typer.Option("--property", "-p", help="A property key; repeatable.")] = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    data_dir: DataDirOption = None,
) -> None:
    """Predict properties of crystals and compositions.

    Exit status 0: every input has an answer. 3: some have none (listed on stderr). 1: none has.
    """
    if not files and not composition:
        raise typer.BadParameter("give structure files or --composition")
    if model and wanted:
        raise typer.BadParameter("give --model or --property, not both: a model predicts one property")
    if as_json and as_csv:
        raise typer.BadParameter("give --json or --csv, not both")
    settings = settings_with(data_dir=data_dir)
    limits = settings.limits.model_copy(update={"max_inputs_per_request": _NO_LIMIT})
    inputs, failed = _read_inputs(files or [], composition or [], limits)
    with open_installation(settings) as installation:
        service = _service(installation, limits)
        answer = _predict_in_chunks(service, inputs, failed, model or None, wanted or None)
    _print(answer, as_json, as_csv)
    if answer.errors:
        raise typer.Exit(EXIT_PARTIAL if answer.predictions else EXIT_ERROR)


def _read_inputs(
    paths: Sequence[Path], compositions: Sequence[str], limits: LimitSettings
) -> tuple[list[RawInput], list[FailedInput]]:
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


def _service(installation: Installation, limits: LimitSettings) -> PredictionService:
    with stderr.status("loading"):
        from app.learning.engine import InferenceEngine

        settings: Settings = installation.settings
        engine = InferenceEngine(settings.inference.max_models, settings.device, settings.inference.threads)
    return PredictionService(installation.sessions, installation.store, engine, limits)


def _predict_in_chunks(
    service: PredictionService,
    inputs: Sequence[RawInput],
    failed: Sequence[FailedInput],
    models: Sequence[str] | None,
    properties: Sequence[str] | None,
) -> PredictionAnswer:
    whole = service.predict_leniently([], models, properties, failed)
    with tqdm(total=len(inputs), desc="predicting", unit="input", leave=False, disable=len(inputs) <= CHUNK) as bar:
        for start in range(0, len(inputs), CHUNK):
            part = service.predict_leniently(inputs[start : start + CHUNK], models, properties)
            whole.predictions += part.predictions
            whole.errors += part.errors
            bar.update(min(CHUNK, len(inputs) - start))
    return whole


def _print(answer: PredictionAnswer, as_json: bool, as_csv: bool) -> None:
    if as_json:
        print_json(answer)
        return
    if as_csv:
        print_csv(_CSV_COLUMNS, (_csv_row(p) for p in answer.predictions))
    elif answer.predictions:
        print_table(
            "", ("input", "property", "value#", "unit", "model", "remarks"), map(_table_row, answer.predictions)
        )
    for error in answer.errors:
        label = f"{error.input_id} by {error.model.name}" if error.model is not None else error.input_id
        print_error(f"{label}: {error.detail}", error.code)


def _csv_row(p: Prediction) -> tuple[object, ...]:
    in_domain = p.domain.in_domain if p.domain is not None else None
    return (p.input_id, p.property, p.value, p.unit, p.model.name, p.model.version, in_domain, "; ".join(p.notes))


def _table_row(p: Prediction) -> tuple[object, ...]:
    remarks = [*([p.domain.reason] if p.domain is not None else []), *p.notes]
    return (p.input_id, p.property, f"{p.value:.4f}", p.unit, f"{p.model.name}/{p.model.version}", "; ".join(remarks))
