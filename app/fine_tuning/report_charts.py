"""Where bars, points and ticks of a report's charts lie; the page draws them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.fine_tuning.report_schemas import TournamentReport

WIDTH = 720.0
MAX_BARS = 14
_ROW, _TOP, _BOTTOM, _MARGIN = 38.0, 6.0, 40.0, 12.0
_JITTER = 5.0
_CURVE_HEIGHT, _CURVE_LEFT = 260.0, 64.0
_WANTED_TICKS = 5


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of the chart, pixels from its upper left; `points` are the folds."""

    name: str
    label: str
    y: float
    end: float
    points: list[tuple[float, float]]
    is_winner: bool


@dataclass(frozen=True, slots=True)
class BarChart:
    width: float
    height: float
    left: float
    bars: list[Bar]
    ticks: list[Tick]
    n_hidden: int


@dataclass(frozen=True, slots=True)
class CurvePoint:
    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    width: float
    height: float
    left: float
    bottom: float
    points: list[CurvePoint]
    x_ticks: list[Tick]
    y_ticks: list[Tick]

    @property
    def line(self) -> str:
        """For an SVG polyline."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


def nice_ticks(highest: float) -> list[float]:
    """Round numbers from 0 to at least `highest` > 0, about five of them."""
    rough = highest / _WANTED_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))
    return [number * step for number in range(math.ceil(highest / step - 1e-9) + 1)]


def bar_chart(report: TournamentReport) -> BarChart:
    """Errors of the winner and of the best entrants, with those of each fold."""
    rows: list[tuple[str, float, Sequence[float], bool]] = []
    names = {entrant.name for entrant in report.entrants}
    if report.winner.name not in names:
        rows.append((report.winner.name, report.winner.mae, report.winner.fold_mae, True))
    rows += [(e.name, e.mae, e.fold_mae, e.name == report.winner.name) for e in report.entrants]
    n_all, rows = len(rows), rows[:MAX_BARS]
    ticks = nice_ticks(max((*(error for _, mae, folds, _ in rows for error in (mae, *folds)), 1e-12)))
    scale = (WIDTH - 2 * _MARGIN) / ticks[-1]

    def bar(number: int, name: str, mae: float, folds: Sequence[float], is_winner: bool) -> Bar:
        y = _TOP + number * _ROW
        points = [(_MARGIN + error * scale, y + 25 + (_JITTER if fold % 2 else 0)) for fold, error in enumerate(folds)]
        return Bar(name, f"{mae:.4g}", y, _MARGIN + mae * scale, points, is_winner)

    return BarChart(
        WIDTH, _TOP + len(rows) * _ROW + _BOTTOM, _MARGIN,
        [bar(number, *row) for number, row in enumerate(rows)],
        [Tick(_MARGIN + tick * scale, f"{tick:.4g}") for tick in ticks],
        n_all - len(rows),
    )  # fmt: skip


def learning_curve(report: TournamentReport) -> Curve | None:
    """Error against training rows; None for fewer than two points."""
    points = report.learning_curve
    if len(points) < 2:
        return None
    x_ticks, y_ticks = nice_ticks(max(p.n_train for p in points)), nice_ticks(max((*(p.mae for p in points), 1e-12)))
    bottom = _CURVE_HEIGHT - _BOTTOM
    across = (WIDTH - _CURVE_LEFT - _MARGIN) / x_ticks[-1]
    up = (bottom - 3 * _TOP) / y_ticks[-1]
    return Curve(
        WIDTH, _CURVE_HEIGHT, _CURVE_LEFT, bottom,
        [CurvePoint(_CURVE_LEFT + p.n_train * across, bottom - p.mae * up, f"{p.mae:.4g}") for p in points],
        [Tick(_CURVE_LEFT + tick * across, f"{tick:.4g}") for tick in x_ticks],
        [Tick(bottom - tick * up, f"{tick:.4g}") for tick in y_ticks],
    )  # fmt: skip
