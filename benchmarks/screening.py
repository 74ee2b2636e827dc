"""Screening: how long it takes, whether probabilities are true, how large the cells of made candidates are.

    python benchmarks/screening.py rate --candidates 100000          # minutes
    python benchmarks/screening.py probabilities --data-kit DIR      # a minute
    python benchmarks/screening.py cells --data-kit DIR              # minutes

`rate` makes candidates from prototypes and screens them as a worker does, with two models, in processes of its own.
`probabilities` compares the probability of meeting a constraint with how often it is met, on held-out rows of formulas
that neither trained the models nor set the width of their intervals. `cells` compares the volumes of candidates with
those of relaxed structures of the same type and composition. Writes benchmarks/results/screening/.
"""

import argparse
import json
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow.parquet as pq

from app.bulk.folder import BulkRun, RunFolder
from app.bulk.parts import PartInfo
from app.bulk.run import run_bulk
from app.bulk.spec import ModelUse
from app.core.errors import StructureError
from app.core.settings import PROJECT_ROOT, LimitSettings
from app.learning.graphs.settings import GraphSettings
from app.learning.predictor import Estimate, Predictor
from app.learning.samples import composition_key
from app.learning.splits import split_rows
from app.learning.trust.calibration import parts_of_groups
from app.learning.trust.distribution import probability_within
from app.predictions.selection import SelectedModel
from app.registry.artifact import Artifact, StoredVersion
from app.registry.manifest import MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest
from app.screening.generation.candidates import make_candidates
from app.screening.generation.table import generated_file, write_candidates
from app.screening.generator import PrototypeGenerator, PrototypeName
from app.screening.selecting import read_counts, select, write_wish
from app.screening.wish import ScreeningWish
from app.structures.composition import parse_composition
from app.structures.detect import StructureFormat
from app.structures.reader import read_structure
from benchmarks.harness import machine

Floats = npt.NDArray[np.float64]
RESULTS = PROJECT_ROOT / "benchmarks/results/screening"
SOURCE = "source_mp_structures_106k.parquet"
ENERGY, GAP = "cgcnn-formation-energy/2", "cgcnn-band-gap/3"
LABELS = {ENERGY: "formation_energy_eV_per_atom", GAP: "band_gap_pbe_eV"}
SOLAR: dict[str, Any] = {
    "constraints": [{"property": "band_gap", "at_least": 1.0, "at_most": 2.0}],
    "objectives": [
        {"property": "formation_energy_per_atom", "goal": "minimise"},
        {"property": "band_gap", "goal": "target", "target": 1.4},
    ],
    "min_probability": 0.3,
    "count": 1000,
    "diverse": True,
}
HEUSLERS = (PrototypeName.HALF_HEUSLER, PrototypeName.FULL_HEUSLER, PrototypeName.DOUBLE_PEROVSKITE)
BINS = np.linspace(0.0, 1.0, 11)


def loaded(reference: str) -> tuple[SelectedModel, Artifact]:
    folder = PROJECT_ROOT / "models_store" / reference
    manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_text())
    name, number = reference.split("/")
    version = StoredVersion(reference, name, int(number), manifest.weights_sha256, {})
    graph = GraphSettings.model_validate(manifest.graph)
    weights, trust = ((folder / file).read_bytes() for file in (WEIGHTS_FILE, TRUST_FILE))
    selected = SelectedModel(version, manifest, graph, frozenset(manifest.elements), is_named=False)
    return selected, Artifact(manifest, weights, trust)


class Quiet:
    """Nobody is told."""

    def counted(self, n_rows: int) -> None: ...

    def finished(self, part: PartInfo) -> None: ...


def rate(options: argparse.Namespace) -> dict[str, Any]:
    """Prototypes in their order, double perovskites last, until there are enough candidates."""
    order = [*(name for name in PrototypeName if name not in HEUSLERS), PrototypeName.DOUBLE_PEROVSKITE]
    generator = PrototypeGenerator(kind="prototypes", prototypes=tuple(order))
    wish = ScreeningWish.model_validate(SOLAR)
    models = [loaded(GAP), loaded(ENERGY)]
    seconds = {}
    with tempfile.TemporaryDirectory() as directory:
        folder = RunFolder(Path(directory))
        started = time.perf_counter()
        write_candidates(generator, None, folder.path / "input")
        seconds["candidates made"] = time.perf_counter() - started
        n_made = pq.read_metadata(folder.path / "input").num_rows
        n = min(options.candidates, n_made)
        _keep(folder.path / "input", n)
        run = BulkRun(
            input_path="input", input=generated_file(generator, n), models=tuple(ModelUse.of(m) for m, _ in models),
            limits=LimitSettings(), n_processes=options.processes, device=options.device,
        )  # fmt: skip
        folder.create(run, (artifact for _, artifact in models))
        write_wish(folder, wish)
        started = time.perf_counter()
        run_bulk(folder, Quiet(), lambda: False)
        seconds["predicted"] = time.perf_counter() - started
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        select(folder)
        seconds["chosen"] = time.perf_counter() - started
        counts = read_counts(folder)
    return {
        "candidates_made": n_made, "candidates_screened": n, "processes": options.processes, "counts": counts,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "cpu_seconds_of_the_processes": round(usage.ru_utime + usage.ru_stime, 1),
        "load_average_before_and_after": [options.load, os.getloadavg()],
        "peak_memory_of_the_leading_process_mb": round(_peak_mb()),
    }  # fmt: skip


def _keep(path: Path, n_rows: int) -> None:
    """Evenly spaced rows, so that every prototype is among them."""
    table = pq.read_table(path)
    pq.write_table(table.take(np.linspace(0, len(table) - 1, n_rows).astype(np.int64)), path)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(peak / 1024, psutil.Process().memory_info().rss / 2**20)


def probabilities(options: argparse.Namespace) -> dict[str, Any]:
    table = pq.read_table(options.data_kit / SOURCE, columns=["formula", "cif", *LABELS.values()])
    keys = [composition_key(parse_composition(formula)) for formula in table["formula"].to_pylist()]
    held = {reference: _held_out(reference, keys, table[LABELS[reference]].to_numpy()) for reference in LABELS}
    rows = np.intersect1d(held[ENERGY], held[GAP])
    rows = rows[: options.rows] if options.rows else rows
    texts = table["cif"].take(rows).to_pylist()
    crystals = [read_structure(text, StructureFormat.CIF) for text in texts]
    found: dict[str, Any] = {"rows": len(rows), "formulas": len({keys[row] for row in rows.tolist()})}
    chances: dict[str, list[tuple[Floats, Floats]]] = {}
    for reference, column in LABELS.items():
        labels = table[column].to_numpy()[rows].astype(np.float64)
        chances[reference] = _chances(Predictor.from_bytes(*loaded(reference)[1]), crystals, labels)
        found[reference] = _reliability(*map(np.concatenate, zip(*chances[reference], strict=True)))
    joint = [
        (first[0] * second[0], first[1] * second[1]) for first in chances[ENERGY] for second in chances[GAP]
    ]  # fmt: skip
    found["both, as independent"] = _reliability(*map(np.concatenate, zip(*joint, strict=True)))
    lowest = [
        (np.maximum(0.0, first[0] + second[0] - 1.0), first[1] * second[1])
        for first in chances[ENERGY] for second in chances[GAP]
    ]  # fmt: skip
    found["both, at least"] = _reliability(*map(np.concatenate, zip(*lowest, strict=True)))
    return found


def _held_out(reference: str, keys: list[str], labels: Floats) -> npt.NDArray[np.int64]:
    """Test rows of the formulas that set no width."""
    training = loaded(reference)[1].manifest.training
    numbers = training.hyperparameters
    labelled = np.flatnonzero(np.isfinite(labels.astype(np.float64)))
    split = split_rows(
        [keys[row] for row in labelled], numbers["split"], numbers["train_fraction"], numbers["val_fraction"],
        training.seed or 0,
    )  # fmt: skip
    test = labelled[split.test]
    if "O2Si in training" in training.split:
        test = test[[keys[row] != "O2Si" for row in test.tolist()]]
    print(f"{reference}: {len(test)} test rows, recorded {training.n_test}")
    return test[parts_of_groups([keys[row] for row in test.tolist()]) == 1]


def _chances(predictor: Predictor, crystals: list[Any], labels: Floats) -> list[tuple[Floats, Floats]]:
    """Probability and outcome of "at least" for each tenth of the labels, and of being between two of them."""
    values, difficulties = [], []
    for start in range(0, len(crystals), 500):
        for estimate in predictor.estimate(crystals[start : start + 500]):
            assert isinstance(estimate, Estimate) and estimate.assessment is not None
            values.append(estimate.value)
            difficulties.append(estimate.assessment.difficulty)
    trust = predictor.trust
    assert trust is not None
    bounds = np.unique(np.quantile(labels, np.arange(1, 10) / 10)).tolist()
    wanted = [(bound, None) for bound in bounds] + list(pairwise(bounds))
    pairs = []
    for low, high in wanted:
        met = (labels >= low) & (labels <= (np.inf if high is None else high))
        chance = probability_within(trust, np.array(values), np.array(difficulties), low, high)
        pairs.append((chance, met.astype(np.float64)))
    return pairs


def _reliability(chance: Floats, met: Floats) -> dict[str, Any]:
    """Brier scores, and of each tenth of the probabilities how often the constraint was met."""
    bins = np.clip(np.digitize(chance, BINS) - 1, 0, 9)
    table, gap = [], 0.0
    for number in range(10):
        here = bins == number
        if not here.any():
            continue
        said, seen = float(chance[here].mean()), float(met[here].mean())
        gap += abs(said - seen) * here.mean()
        table.append({"n": int(here.sum()), "said": round(said, 3), "met": round(seen, 3)})
    base = met.mean()
    return {
        "n": len(met), "brier": round(float(((chance - met) ** 2).mean()), 4),
        "brier_of_the_share": round(float(base * (1 - base)), 4),
        "brier_of_yes_or_no": round(float((((chance > 0.5) - met) ** 2).mean()), 4),
        "mean_gap": round(float(gap), 4), "table": table,
    }  # fmt: skip


def cells(options: argparse.Namespace) -> dict[str, Any]:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    warnings.simplefilter("ignore")
    matcher = StructureMatcher(primitive_cell=False)
    ratios: dict[str, list[float]] = {}
    for name, volume, structure, candidates in _comparable(options.data_kit / SOURCE):
        made = [candidate for candidate in candidates if matcher.fit(candidate, structure)]
        if made:
            ratios.setdefault(name, []).append(made[0].volume / volume)
    everything = np.concatenate([np.array(each) for each in ratios.values()])
    return {"all": _off(everything), **{name: _off(np.array(each)) for name, each in sorted(ratios.items())}}


def _comparable(path: Path) -> Iterator[tuple[str, float, Any, list[Any]]]:
    """Known structures with a candidate of the same formula and number of sites: prototype, volume, both."""
    table = pq.read_table(path, columns=["formula", "nsites", "cif"], filters=[("nsites", "<=", 14)])
    rows: dict[tuple[str, int], list[int]] = {}
    for row, (formula, n_sites) in enumerate(
        zip(table["formula"].to_pylist(), table["nsites"].to_pylist(), strict=True)
    ):
        rows.setdefault((composition_key(parse_composition(formula)), n_sites), []).append(row)
    texts = table["cif"]
    for name in (prototype for prototype in PrototypeName if prototype is not PrototypeName.DOUBLE_PEROVSKITE):
        by_key: dict[tuple[str, int], list[Any]] = {}
        generator = PrototypeGenerator(kind="prototypes", prototypes=(name,))
        for candidate in make_candidates(generator, None):
            try:
                crystal = read_structure(candidate.text, StructureFormat.POSCAR)
            except StructureError:  # too small a cell: of no element that such a compound has
                continue
            by_key.setdefault((crystal.reduced_formula, crystal.n_sites), []).append(crystal)
        for key in sorted(by_key.keys() & rows.keys()):
            made = [_pymatgen(crystal) for crystal in by_key[key]]
            for row in rows[key]:
                known = read_structure(texts[row].as_py(), StructureFormat.CIF)
                yield name.value, known.volume, _pymatgen(known), made


def _pymatgen(crystal: Any) -> Any:
    from pymatgen.core.structure import Structure

    return Structure(crystal.lattice, crystal.atomic_numbers.tolist(), crystal.fractional_coordinates)


def _off(ratios: Floats) -> dict[str, Any]:
    lengths = np.cbrt(ratios) - 1.0
    return {
        "n": len(ratios), "mean_length_error": round(float(lengths.mean()), 4),
        "median_absolute": round(float(np.median(np.abs(lengths))), 4),
        "within_95_percent": round(float(np.quantile(np.abs(lengths), 0.95)), 4),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rate", "probabilities", "cells"))
    parser.add_argument("--data-kit", type=Path, default=os.environ.get("XTALFORGE_DATA_KIT"))
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=0, help="At most so many held-out rows; 0 = all.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    options.load = os.getloadavg()
    measured = {"rate": rate, "probabilities": probabilities, "cells": cells}[options.what](options)
    answer = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), options.what: measured}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{options.what}.json").write_text(json.dumps(answer, indent=1) + "\n")
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
