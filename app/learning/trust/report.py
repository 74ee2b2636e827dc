"""What a calibration says about a model, in numbers for its manifest."""

import hashlib
from collections.abc import Collection

import numpy as np

from app.learning.trust.calibration import Calibrated
from app.learning.trust.families import FAMILIES, elements_in, family_of
from app.learning.trust.places import FloatArray, IntArray, Mask
from app.learning.trust.rows import AnsweredRows
from app.registry.manifest import Coverage, FamilyErrors, TrustRecord

_N_PARTS = 4
_FEWEST_FOR_PARTS = 8


def record_of(
    made: Calibrated,
    content: bytes,
    test: AnsweredRows,
    trained: Collection[str],
    calibrated_on: str,
    command: str | None,
) -> TrustRecord:
    """`content` is the file, `trained` are the formulas of the training rows."""
    trust = made.trust
    rows = np.array(made.measured, dtype=np.int64)
    covered, widths = _covered(made, test, rows)
    is_new = np.array([test.keys[row] not in trained for row in rows], dtype=bool)
    is_outside = made.novelty > trust.limit
    absolute = np.abs(test.predictions - test.labels)
    return TrustRecord(
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        n_reference=len(trust.reference.formulas),
        calibrated_on=calibrated_on,
        n_calibration=made.n_calibration,
        highest_level=trust.scores.highest_level,
        measured_on=_measured_on(made, len(test)),
        coverage=_coverage(covered, widths),
        coverage_new_formulas=None if is_new.all() else _coverage(covered[is_new], widths[is_new]),
        families=_families(test, absolute, rows, covered) if np.isfinite(widths).all() else [],
        mae_by_score=_by_score(made.novelty, absolute),
        mae_inside=float(absolute[~is_outside].mean()) if not is_outside.all() else None,
        mae_outside=float(absolute[is_outside].mean()) if is_outside.any() else None,
        rank_correlation=_rank_correlation(made.novelty, test.errors),
        rank_correlation_expected=_rank_correlation(made.difficulties, test.errors),
        flagged=float(is_outside.mean()),
        flagged_left_out_elements=float((made.left_out > trust.limit).mean()) if len(made.left_out) else None,
        command=command,
    )


def _covered(made: Calibrated, test: AnsweredRows, rows: IntArray) -> tuple[Mask, FloatArray]:
    """Whether each measured row is within its interval, and how wide that is; without end where rows were too few."""
    covered, widths = np.ones(len(rows), dtype=bool), np.full(len(rows), np.inf)
    for quantile in np.unique(made.quantiles[np.isfinite(made.quantiles)]):
        at = np.flatnonzero(made.quantiles == quantile)
        here = rows[at]
        lower, upper = made.trust.ends(test.predictions[here], made.difficulties[here] * quantile)
        covered[at] = test.errors[here] <= quantile * made.difficulties[here]
        widths[at] = upper - lower
    return covered, widths


def _coverage(covered: Mask, widths: FloatArray) -> Coverage | None:
    if not len(covered) or not np.isfinite(widths).all():
        return None
    return Coverage(n=len(covered), share=float(covered.mean()), mean_width=float(widths.mean()))


def _measured_on(made: Calibrated, n_test: int) -> str:
    if len(made.measured) < n_test:
        return "test rows of the formulas that set no width (half of them)"
    return "all test rows, each tenth of their groups with the width that the others give"


def _families(test: AnsweredRows, absolute: FloatArray, rows: IntArray, covered: Mask) -> list[FamilyErrors]:
    of_row = np.array([family_of(elements_in(key)) for key in test.keys])
    found = []
    for family in FAMILIES:
        mine, measured = of_row == family, of_row[rows] == family
        if mine.any() and measured.any():
            found.append(
                FamilyErrors(
                    family=family, n=int(mine.sum()), mae=float(absolute[mine].mean()),
                    covered=float(covered[measured].mean()),
                )
            )  # fmt: skip
    return found


def _by_score(scores: FloatArray, absolute: FloatArray) -> list[float]:
    if len(scores) < _FEWEST_FOR_PARTS:
        return []
    parts = np.array_split(np.argsort(scores, kind="stable"), _N_PARTS)
    return [float(absolute[part].mean()) for part in parts]


def _rank_correlation(scores: FloatArray, absolute: FloatArray) -> float | None:
    from scipy.stats import spearmanr

    if len(scores) < _FEWEST_FOR_PARTS or np.ptp(scores) == 0 or np.ptp(absolute) == 0:
        return None
    return float(spearmanr(scores, absolute).statistic)
