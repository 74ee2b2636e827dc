"""Figures of a reproduction: error and gain against size, parity, distributions, share within chemical accuracy."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.learning.evaluation import CHEMICAL_ACCURACY
from app.learning.targets import apply_transform
from app.properties.catalogue import get_property
from app.reproduction.protocols import Measure
from app.reproduction.statistics import gain
from app.reproduction.store import FloatArray
from app.reproduction.summary import Cell, Summary, TargetResults

Drawn = tuple[str, str]
"""Name of a file and what it shows."""

_DPI = 90
_MOST_PARITY = 4
_SMALLEST_SHOWN = 1e-4
"""Of the largest error."""
_STYLE: dict[Any, Any] = {"font.size": 9, "axes.grid": True, "grid.alpha": 0.3, "savefig.dpi": _DPI, "figure.dpi": _DPI}


def draw_figures(summary: Summary, folder: Path) -> list[Drawn]:
    """PNG files into the folder; those that there are data for."""
    mpl.use("agg")
    drawn: list[Drawn] = []
    with mpl.rc_context(_STYLE):
        for series in dict.fromkeys(result.target.series for result in summary.results):
            curve = summary.of_series(series)
            if series and len(curve) > 1:
                drawn += _on_sizes(curve, series, folder)
        for result in summary.results:
            drawn += _of_target(result, summary, folder)
    return drawn


def _on_sizes(curve: Sequence[TargetResults], series: str, folder: Path) -> list[Drawn]:
    """Fig. 4 and Figs. 5c, 6d of Lee & Asahi."""
    return [
        _save(folder, f"error against training size {series}", (5, 3.6), lambda axes: _errors(axes, curve)),
        _save(folder, f"gain against training size {series}", (5, 3.6), lambda axes: _gains(axes, curve)),
    ]


def _errors(axes: Axes, curve: Sequence[TargetResults]) -> None:
    measure = curve[0].target.measures[0]
    for cell in _cells_of(curve):
        points = [(r.target.n_train, s) for r in curve if (s := r.spread(cell, measure))]
        if len(points) > 1:
            sizes, errors = [n for n, _ in points], [s.mean for _, s in points]
            axes.errorbar(
                sizes, errors, [np.nan_to_num(s.std) for _, s in points], marker="o", capsize=3, label=_name(cell)
            )
    for line in curve[0].target.references:
        published = [(r.target.n_train, r.target.published.get(measure.key, {}).get(line)) for r in curve]
        known = [(n, figure.mean) for n, figure in published if figure is not None]
        if known:
            axes.plot(*zip(*known, strict=True), "k*", label=f"{line}: published")
    axes.set(xscale="log", yscale="log", xlabel="training rows", ylabel=_label(measure))
    axes.legend(fontsize=7)


def _gains(axes: Axes, curve: Sequence[TargetResults]) -> None:
    measure = curve[0].target.measures[0]
    for reference in curve[0].target.references:
        preset = reference.rsplit(", ", 1)[-1]
        for cell in _cells_of(curve):
            if cell[0] in curve[0].target.references or not cell[0].endswith(preset):
                continue
            pairs = [(r.target.n_train, r.spread(cell, measure), r.spread((reference, False), measure)) for r in curve]
            points = [(n, gain(mine.mean, other.mean)) for n, mine, other in pairs if mine and other]
            if len(points) > 1:
                axes.plot(*zip(*points, strict=True), marker="o", label=f"{_name(cell)} on {reference}")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="training rows", ylabel="error taken away, %")
    if axes.has_data() and axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7)


def _of_target(result: TargetResults, summary: Summary, folder: Path) -> list[Drawn]:
    name = result.target.name
    pooled = {cell: _pooled(result, cell, summary) for cell in result.cells}
    known = {cell: rows for cell, rows in pooled.items() if rows is not None}
    drawn = [_save(folder, f"errors {name}", (7, 0.9 + 0.27 * len(result.cells)), lambda axes: _bars(axes, result))]
    if known:
        drawn.append(_parity(result, known, folder))
        drawn.append(
            _save(folder, f"error distribution {name}", (5, 3.6), lambda axes: _distribution(axes, result, known))
        )
    shares = Measure("within_chemical_accuracy", "share within chemical accuracy", "", lower_is_better=False)
    if any(result.values(cell, shares) for cell in result.cells):
        drawn.append(
            _save(folder, f"chemical accuracy {name}", (7, 0.9 + 0.27 * len(result.cells)),
                  lambda axes: _bars(axes, result, shares))
        )  # fmt: skip
    return drawn


def _bars(axes: Axes, result: TargetResults, measure: Measure | None = None) -> None:
    """Mean and spread of every cell, the paper's beside."""
    measure = measure or result.target.measures[0]
    cells = [cell for cell in result.cells if result.values(cell, measure)]
    for place, cell in enumerate(cells):
        found = result.spread(cell, measure)
        assert found is not None
        axes.barh(place, found.mean, xerr=np.nan_to_num(found.std), color="tab:orange" if cell[1] else "tab:blue")
        published = result.target.published.get(measure.key, {}).get(cell[0])
        if published is not None and not cell[1]:
            axes.plot(published.mean, place, "k*", label="published")
    axes.set_yticks(range(len(cells)), [_name(cell) for cell in cells])
    axes.invert_yaxis()
    axes.set_xlabel(f"{_label(measure)} (star: published)")


def _parity(result: TargetResults, pooled: dict[Cell, tuple[FloatArray, FloatArray]], folder: Path) -> Drawn:
    """Predictions against labels of all trials' test rows, on the learned scale, of the first systems."""
    cells = list(pooled)[:_MOST_PARITY]
    figure, panels = plt.subplots(
        1, len(cells), figsize=(2.6 * len(cells), 2.8), layout="constrained", squeeze=False, sharex=True, sharey=True
    )
    labels_of_all = np.concatenate([pooled[cell][0] for cell in cells])
    ends = [labels_of_all.min(), labels_of_all.max()]
    margin = 0.1 * (ends[1] - ends[0])
    for axes, cell in zip(panels[0], cells, strict=True):
        labels, predictions = pooled[cell]
        axes.plot(labels, predictions, ".", markersize=2, alpha=0.4)
        axes.plot(ends, ends, "k-", linewidth=0.8)
        axes.set(title=_name(cell), xlabel=f"label, {_scale(result)}", ylim=(ends[0] - margin, ends[1] + margin))
        axes.title.set_fontsize(7)
    panels[0][0].set_ylabel("prediction")
    return _write(figure, folder, f"parity {result.target.name}")


def _distribution(axes: Axes, result: TargetResults, pooled: dict[Cell, tuple[FloatArray, FloatArray]]) -> None:
    """Share of test rows with an error of at most so much."""
    for cell, (labels, predictions) in pooled.items():
        errors = np.sort(np.abs(predictions - labels))
        axes.plot(errors, np.arange(1, len(errors) + 1) / len(errors), label=_name(cell), linewidth=1)
    spec = get_property(result.target.property_key)
    if spec.unit == "eV/atom":
        axes.axvline(CHEMICAL_ACCURACY, color="black", linestyle=":", linewidth=0.8)
    largest = max(float(np.abs(predictions - labels).max()) for labels, predictions in pooled.values())
    axes.set(xscale="log", xlabel=f"absolute error, {_scale(result)}", ylabel="share of test rows", ylim=(0, 1))
    axes.set_xlim(largest * _SMALLEST_SHOWN, largest)
    axes.legend(fontsize=6)


def _pooled(result: TargetResults, cell: Cell, summary: Summary) -> tuple[FloatArray, FloatArray] | None:
    """Labels and predictions of all trials on the learned scale, (n,) each; None where none was kept."""
    transform = get_property(result.target.property_key).transform
    kept = [summary.test_rows[r.key] for r in result.cells[cell].values() if r.key in summary.test_rows]
    if not kept:
        return None
    labels = np.concatenate([rows.labels for rows in kept])
    predictions = np.concatenate([rows.predictions for rows in kept])
    if transform != "identity":
        predictions = np.maximum(predictions, np.finfo(np.float32).tiny)
    return apply_transform(labels, transform), apply_transform(predictions, transform)


def _scale(result: TargetResults) -> str:
    spec = get_property(result.target.property_key)
    return spec.unit if spec.transform == "identity" else f"log10({spec.unit})"


def _cells_of(curve: Sequence[TargetResults]) -> list[Cell]:
    return list(dict.fromkeys(cell for result in curve for cell in result.cells))


def _name(cell: Cell) -> str:
    return f"{cell[0]}, strict" if cell[1] else cell[0]


def _label(measure: Measure) -> str:
    return f"{measure.label}, {measure.unit}" if measure.unit else measure.label


def _save(folder: Path, title: str, size: tuple[float, float], draw: Callable[[Axes], None]) -> Drawn:
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    draw(axes)
    axes.set_title(title, fontsize=9)
    return _write(figure, folder, title)


def _write(figure: Figure, folder: Path, title: str) -> Drawn:
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") + ".png"
    figure.savefig(folder / name, metadata={"Software": None})
    plt.close(figure)
    return name, title
