"""What is known of each candidate, in arrays, from the parts of a bulk prediction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.bulk.spec import ModelUse
from app.core.arrow import pa, pc
from app.learning.trust.places import FloatArray, IntArray

_NUMBERS = ("value", "lower", "upper", "difficulty", "domain_score")


@dataclass(frozen=True, slots=True)
class Predicted:
    """N candidates and P properties, in the order of the models.

    `rows` (N,) are places in the input, from 1. Numbers are (N, P), NaN where there is none; `in_domain` is 1, 0, or
    NaN where it is not known. A candidate without a value for each property has a `code` and the reason.
    """

    rows: IntArray
    ids: list[str]
    formulas: list[str | None]
    values: FloatArray
    lower: FloatArray
    upper: FloatArray
    difficulties: FloatArray
    domain_scores: FloatArray
    in_domain: FloatArray
    codes: list[str | None]
    details: list[str | None]

    def __len__(self) -> int:
        return len(self.rows)


def gather(parts: Iterable[pa.Table], models: Sequence[ModelUse]) -> Predicted:
    """One candidate for each input, or block of a file with several, in the order of the input; at least one part."""
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    rows = table["row"].to_numpy()
    ids = np.asarray(pc.dictionary_encode(table["input_id"]).combine_chunks().indices)
    is_first = np.concatenate([[True], (rows[1:] != rows[:-1]) | (ids[1:] != ids[:-1])])
    starts = np.flatnonzero(is_first)
    candidate = np.cumsum(is_first) - 1
    model = _model_places(table, models)
    answered = np.flatnonzero(model >= 0)
    shape = (len(starts), len(models))

    def numbers(name: str) -> FloatArray:
        found = np.full(shape, np.nan)
        column = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
        found[candidate[answered], model[answered]] = column[answered]
        return found

    arrays = {name: numbers(name) for name in _NUMBERS}
    codes, details = _errors(table, candidate, shape[0])
    return Predicted(
        rows[starts], table["input_id"].take(starts).to_pylist(), table["formula"].take(starts).to_pylist(),
        arrays["value"], arrays["lower"], arrays["upper"], arrays["difficulty"], arrays["domain_score"],
        numbers("in_domain"), codes, details,
    )  # fmt: skip


def _model_places(table: pa.Table, models: Sequence[ModelUse]) -> IntArray:
    """Place among the models of each line, -1 for lines that are about no model."""
    names = table["model"].combine_chunks()
    versions = table["version"].fill_null(0).to_numpy()
    codes = names.indices.fill_null(-1).to_numpy()
    known = names.dictionary.to_pylist()
    found = np.full(len(table), -1, dtype=np.int64)
    for place, use in enumerate(models):
        if use.name in known:
            found[(codes == known.index(use.name)) & (versions == use.version)] = place
    return found


def _errors(table: pa.Table, candidate: IntArray, n: int) -> tuple[list[str | None], list[str | None]]:
    """Code and reason of the first error of each candidate."""
    codes: list[str | None] = [None] * n
    details: list[str | None] = [None] * n
    failed = np.flatnonzero(pc.is_valid(table["error_code"]).to_numpy())
    errors = table.select(["error_code", "error_detail"]).take(failed).to_pydict()
    for place, code, detail in zip(
        candidate[failed].tolist(), errors["error_code"], errors["error_detail"], strict=True
    ):
        if codes[place] is None:
            codes[place], details[place] = code, detail
    return codes, details
