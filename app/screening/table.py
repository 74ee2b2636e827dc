"""The results of a screening as a table: a line for each candidate, units in the names of columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.bulk.spec import ModelUse
from app.core.arrow import pa, pc, pq
from app.learning.trust.places import FloatArray
from app.screening.predicted import Predicted
from app.screening.ranking import STATUSES, Ranked, Status
from app.screening.reasons import Teller
from app.screening.schemas import ResultScope
from app.screening.scoring import Scores
from app.screening.wish import ScreeningWish

_ROWS_AT_ONCE = 5_000


def with_unit(name: str, unit: str) -> str:
    """`band_gap [eV]`; plain numbers have the unit 1."""
    return f"{name} [{unit}]"


def result_table(
    found: Predicted, scores: Scores, ranked: Ranked, models: Sequence[ModelUse], wish: ScreeningWish
) -> pa.Table:
    """All candidates in the order of `ranked`; `rank` is null for those that are not selected."""
    order = ranked.order
    ranks = [place + 1 if place < ranked.n_selected else None for place in range(len(order))]
    teller = Teller(found, scores, ranked, models, wish)
    columns: dict[str, Any] = {
        "rank": pa.array(ranks, pa.int64()),
        "input_id": [found.ids[row] for row in order.tolist()],
        "formula": pa.array([found.formulas[row] for row in order.tolist()], pa.string()),
        "row": found.rows[order],
        "status": pa.array(ranked.statuses[order].astype(np.int32)).cast(pa.int32()),
        "reason": [teller.reason(row) for row in order.tolist()],
        "probability": _numbers(scores.joint[order]),
        "probability_at_least": _numbers(scores.at_least[order]),
        "front": pa.array(ranked.fronts[order], mask=ranked.fronts[order] == 0),
    }
    statuses = pa.array([status.value for status in STATUSES])
    columns["status"] = pa.DictionaryArray.from_arrays(columns["status"], statuses).cast(pa.string())
    if not wish.constraints:
        del columns["probability"], columns["probability_at_least"]
    if len(wish.objectives) < 2:
        del columns["front"]
    for place, use in enumerate(models):
        columns |= _of_property(found, scores, ranked, place, use, wish)
    return pa.table(columns)


def read_table(source: Path | pa.Buffer, scope: ResultScope) -> pa.Table:
    """What was written of `result_table`. Raises pyarrow.ArrowException or OSError for a damaged file."""
    table = pq.read_table(source, page_checksum_verification=True)
    return table if scope is ResultScope.ALL else selected(table)


def selected(table: pa.Table) -> pa.Table:
    """The rows of those selected, best first."""
    return table.filter(pc.is_valid(table["rank"]))


def pieces(table: pa.Table) -> Iterator[pa.Table]:
    """A few rows at a time, to be sent."""
    return (pa.Table.from_batches([batch], table.schema) for batch in table.to_batches(_ROWS_AT_ONCE))


def counts(ranked: Ranked) -> dict[str, int]:
    """How many candidates there are of each status, and in all."""
    numbers = np.bincount(ranked.statuses, minlength=len(STATUSES)).tolist()
    by_status = dict(zip(STATUSES, numbers, strict=True))
    errors = by_status.pop(Status.ERROR)
    return {"candidates": sum(numbers), **{status.value: n for status, n in by_status.items()}, "errors": errors}


def _of_property(
    found: Predicted, scores: Scores, ranked: Ranked, place: int, use: ModelUse, wish: ScreeningWish
) -> dict[str, Any]:
    order, key = ranked.order, use.property
    columns = {
        with_unit(key, use.unit): _numbers(found.values[order, place]),
        with_unit(f"{key} lower", use.unit): _numbers(found.lower[order, place]),
        with_unit(f"{key} upper", use.unit): _numbers(found.upper[order, place]),
    }
    for column, constraint in enumerate(wish.constraints):
        if constraint.property == key:
            columns[f"{key} probability"] = _numbers(scores.probabilities[order, column])
    for column, objective in enumerate(wish.objectives):
        if objective.property == key:
            name = "expected" if objective.target is None else "expected distance"
            columns[with_unit(f"{key} {name}", use.unit)] = _numbers(scores.expected[order, column])
    inside = found.in_domain[order, place]
    columns[f"{key} in_domain"] = pa.array(inside == 1, mask=np.isnan(inside))
    columns[f"{key} domain_score"] = _numbers(found.domain_scores[order, place])
    has_value = np.isfinite(found.values[order, place])
    label = pa.array([f"{use.name}/{use.version}"])
    columns[f"{key} model"] = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(len(order), dtype=np.int32), mask=~has_value), label
    ).cast(pa.string())
    return columns


def _numbers(values: FloatArray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
