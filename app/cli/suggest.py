"""`xtalforge suggest`: which candidates to measure next, on this machine, without a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.installation import DataDirOption, settings_with
from app.cli.output import (
    EXIT_PARTIAL,
    IntervalLevelOption,
    JsonOption,
    ServerOption,
    print_error,
    print_json,
    print_table,
    stderr,
)
from app.cli.starting import DatasetOption
from app.learning.acquisition.strategy import Optimum, Strategy
from app.predictions.schemas import DEFAULT_LEVEL

if TYPE_CHECKING:
    from app.suggestions.schemas import Suggestion, SuggestionAnswer


def suggest(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="Candidates: CSV, JSONL or Parquet with a column cif, poscar, structure, composition or formula, and "
            "id if you like; or a zip of structure files.",
        ),
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="NAME, NAME@ALIAS or NAME/VERSION.")],
    count: Annotated[int, typer.Option("--count", "-k", "--k", min=1, help="How many to suggest, at most.")] = 10,
    strategy: Annotated[Strategy, typer.Option(help="What a label is to be good for.")] = Strategy.BATCH,
    above: Annotated[float | None, typer.Option(help="Target: more than this, in the property's unit.")] = None,
    below: Annotated[float | None, typer.Option(help="Target: less than this, in the property's unit.")] = None,
    optimum: Annotated[
        Optimum | None, typer.Option(help="Target: better than every training label that goes with the model.")
    ] = None,
    level: IntervalLevelOption = DEFAULT_LEVEL,
    dataset: DatasetOption = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Rank candidates without labels by what a measurement is expected to be worth to a model.

    `batch`: materials that speak for many others about which the model is unsure. `uncertainty`: the largest expected
    errors. `diversity`: what is farthest from everything that has a label. `target`: what is likeliest to be within
    --above and --below, or to beat the best label (--optimum). Exit status 3: some candidates cannot be used.
    """
    if (file is None) == (dataset is None):
        raise typer.BadParameter("give a file, or --dataset of a server")
    has_target = any(each is not None for each in (above, below, optimum))
    if has_target != (strategy is Strategy.TARGET):
        raise typer.BadParameter("--strategy target goes with --above, --below or --optimum, and these with it")
    with stderr.status("loading"):
        from app.suggestions.schemas import SuggestionWish, TargetRequest
    target = TargetRequest(above=above, below=below, optimum=optimum) if has_target else None
    wish = SuggestionWish(model=model, strategy=strategy, count=count, target=target, interval_level=level)
    if server is not None:
        from app.cli.remote_inputs import suggest_on_server

        answer = suggest_on_server(server, file or dataset or "", wish)
    elif file is None:
        raise typer.BadParameter("it is read where it is stored: give --server, or a file", param_hint="--dataset")
    else:
        from app.cli.local_suggestion import suggest_locally

        answer = suggest_locally(settings_with(data_dir=data_dir), file, wish)
    _print(answer, as_json)
    if answer.errors:
        raise typer.Exit(EXIT_PARTIAL)


def _print(answer: "SuggestionAnswer", as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    if answer.suggestions:
        _print_suggestions(answer)
    else:
        stderr.print("Nothing to suggest: no candidate is left.")
    if answer.set_aside:
        stderr.print(f"{len(answer.set_aside):,} set aside, the first: {answer.set_aside[0].input_id}: ", end="")
        stderr.print(answer.set_aside[0].detail, markup=False, highlight=False)
    for error in answer.errors:
        print_error(f"{error.input_id}: {error.detail}", error.code)


def _print_suggestions(answer: "SuggestionAnswer") -> None:
    print_table(
        f"{answer.strategy.value} for {answer.model.name}/{answer.model.version}; score: {answer.score_meaning}",
        ("rank#", "candidate", "formula", "score#", "value#", "unit", "interval#", "reason"),
        map(_row, answer.suggestions),
    )


def _row(found: "Suggestion") -> tuple[object, ...]:
    value, interval = found.prediction, found.prediction.interval
    ends = f"{interval.lower:.4g} to {interval.upper:.4g}" if interval is not None else ""
    reason = found.reason
    if value.domain is not None and not value.domain.in_domain:
        reason += f"; {value.domain.reason}"
    return (
        found.rank, found.input_id, found.formula, f"{found.score:.3g}", f"{value.value:.4g}", value.unit, ends, reason,
    )  # fmt: skip
