"""What is looked for, and which candidates, from the options of `xtalforge screen`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from app.core.errors import InvalidRequest
from app.screening.schemas import ScreeningCreate
from app.screening.wish import Goal, ScreeningWish

GENERATED = "generator"


@dataclass(frozen=True, slots=True)
class Options:
    """Options that describe the request, as they were given."""

    request: Path | None = None
    where: Sequence[str] = ()
    maximise: Sequence[str] = ()
    minimise: Sequence[str] = ()
    near: Sequence[str] = ()
    elements: Mapping[str, Any] = field(default_factory=dict)
    prototypes: Sequence[str] = ()
    sites: Sequence[str] = ()
    substitute: Sequence[Path] = ()
    swaps: Sequence[str] = ()
    mix: Sequence[str] = ()
    steps: int | None = None
    is_balanced: bool = True
    only_fitting: bool = False
    others: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `ScreeningWish` as they are; None: not given."""


def requested(options: Options, has_file: bool) -> tuple[ScreeningWish, ScreeningCreate | None]:
    """What is looked for; the whole request where candidates come from a generator or a data set.

    Options go before the file of `--request`. Raises BadParameter, ValidationError, InvalidRequest.
    """
    fields = _from_file(options.request) | _wish(options)
    generator = _generator(options)
    if generator is not None:
        fields[GENERATED] = generator
    if has_file:
        if any(name in fields for name in ("dataset_id", "candidates", GENERATED)):
            raise typer.BadParameter("give a file of candidates, or how they are made, not both")
        return ScreeningWish.model_validate(fields), None
    request = ScreeningCreate.model_validate(fields)
    return request.wish(), request


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise InvalidRequest(f"{path} holds no JSON object.")
    return found


def _wish(options: Options) -> dict[str, Any]:
    fields = {name: value for name, value in options.others.items() if value not in (None, [], ())}
    if options.where:
        fields["constraints"] = [_constraint(text) for text in options.where]
    objectives: list[dict[str, Any]] = [{"property": key, "goal": Goal.MAXIMISE} for key in options.maximise]
    objectives += [{"property": key, "goal": Goal.MINIMISE} for key in options.minimise]
    for text in options.near:
        key, value = _split(text, "=", "--near")
        objectives.append({"property": key, "goal": Goal.TARGET, "target": _number(value, "--near")})
    if objectives:
        fields["objectives"] = objectives
    elements = {name: value for name, value in options.elements.items() if value is not None}
    if elements:
        fields["elements"] = elements
    return fields


def _constraint(text: str) -> dict[str, Any]:
    key, bounds = _split(text, "=", "--where")
    low, high = _split(bounds, "..", "--where")
    found: dict[str, Any] = {"property": key}
    if low:
        found["at_least"] = _number(low, "--where")
    if high:
        found["at_most"] = _number(high, "--where")
    return found


def _generator(options: Options) -> dict[str, Any] | None:
    given = [bool(options.prototypes or options.sites), bool(options.substitute or options.swaps), bool(options.mix)]
    if sum(given) > 1:
        raise typer.BadParameter("--prototype, --substitute and --mix are three ways to make candidates: give one")
    if options.only_fitting and not given[0]:
        raise typer.BadParameter("it goes with --prototype", param_hint="--perovskite-fit")
    balanced = {"charge_balanced": options.is_balanced}
    if given[0]:
        sites = dict(_listed(text, "--site") for text in options.sites)
        chosen = {"prototypes": list(options.prototypes)} if options.prototypes else {}
        fit: dict[str, Any] = {"perovskite_fit": {}} if options.only_fitting else {}
        return {"kind": "prototypes", "sites": sites, **chosen, **balanced, **fit}
    if given[1]:
        structures = [_template(path) for path in options.substitute]
        swaps = dict(_listed(text, "--swap") for text in options.swaps)
        return {"kind": "substitutions", "structures": structures, "substitutions": swaps, **balanced}
    if given[2]:
        steps = {} if options.steps is None else {"steps": options.steps}
        return {"kind": "solid_solution", "ends": list(options.mix), **steps}
    return None


def _template(path: Path) -> dict[str, str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return {"id": path.stem, "cif" if "_cell_length_a" in text else "poscar": text}


def comma_separated(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _listed(text: str, option: str) -> tuple[str, list[str]]:
    name, values = _split(text, "=", option)
    return name, comma_separated(values) or []


def _split(text: str, separator: str, option: str) -> tuple[str, str]:
    before, found, after = text.partition(separator)
    if not found:
        raise typer.BadParameter(f"{text!r} has no {separator!r}", param_hint=option)
    return before.strip(), after.strip()


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number", param_hint=option) from None
