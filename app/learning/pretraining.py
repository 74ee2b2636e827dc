"""Shipped models from source data: featurise once, train resumably, write manifest, weights and card."""

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from app.core.errors import XtalforgeError
from app.learning.graphs.crystal_graph import CrystalGraph, build_crystal_graph
from app.learning.graphs.packed import PackedGraphs, one_writer, write_packed
from app.learning.graphs.settings import GRAPH_RULES, GraphSettings
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.presets import resolve_hyperparameters
from app.learning.pretext import learn_unlabelled
from app.learning.recipes import Recipe
from app.learning.representations import Described, representation_for
from app.learning.samples import (
    GraphSamples,
    Samples,
    VectorSamples,
    composition_key,
    elements_of,
    make_samples,
)
from app.learning.source_rows import SourceRows, file_digest, select_rows
from app.learning.training_job import (
    PreparedTable,
    TrainedModel,
    TrainingEvent,
    TrainingSpec,
    split_of_run,
    train_model,
)
from app.properties.catalogue import get_property
from app.registry.manifest import MANIFEST_FILE, WEIGHTS_FILE, Architecture, Manifest, Parent, PropertyRecord
from app.structures.composition import parse_composition
from app.structures.elements import SYMBOLS
from app.structures.formula import Composition
from app.structures.reader import read_structure

FloatArray = npt.NDArray[np.float64]

_CHUNK = 100
_PART = 5_000
_AT_ONCE = 10_000
_ROWS_FILE = "rows.json"
Featurised = tuple[CrystalGraph, str, tuple[int, ...]]


def pretrain(
    recipe: Recipe,
    data_kit: Path,
    work_dir: Path,
    store: Path,
    seed: int,
    overrides: Hyperparameters,
    device: str,
    command: str,
    on_event: Callable[[TrainingEvent], None],
    on_featurised: Callable[[int, int], None],
) -> TrainedModel:
    """Train the model of a recipe; its base, if it has one, is read from `store`. Interrupted, it goes on where it was.

    `on_featurised(done, total)` reports the preparation. Raises FileNotFoundError when the source is not in `data_kit`.
    """
    path = data_kit / recipe.file
    prepared, digest = prepare_recipe(recipe, path, work_dir, on_featurised), file_digest(path)
    given = _overridden(recipe.hyperparameters, overrides)
    method = _method(recipe)
    base, parent = _base(recipe, store)
    resolved = resolve_hyperparameters(
        recipe.architecture, method, given, len(prepared.labels), is_same_property=base is not None
    )
    run_dir = work_dir / "runs" / f"{recipe.name}-{recipe.version}-seed{seed}"
    learned = None
    if recipe.pretext is not None:
        split = split_of_run(resolved, seed, prepared)
        pretext = replace(recipe.pretext, hyperparameters=_overridden(recipe.pretext.hyperparameters, overrides))
        base, learned = learn_unlabelled(
            recipe, pretext, prepared, split, seed, digest, run_dir / "pretext", on_event, device
        )  # fmt: skip
    spec = TrainingSpec(
        name=recipe.name,
        method=method,
        architecture=recipe.architecture,
        property=PropertyRecord.of(get_property(recipe.property_key)),
        seed=seed,
        hyperparameters=resolved,
        network=recipe.network,
        dataset_name=recipe.dataset,
        dataset_sha256=digest,
        licence=recipe.licence,
        command=command,
        description=recipe.description,
        scope=recipe.full_scope,
        only_when_named=recipe.only_when_named,
        pretext=learned,
    )
    return train_model(prepared, spec, base, parent, run_dir, on_event, lambda: False, device)


def _overridden(given: Hyperparameters, overrides: Hyperparameters) -> Hyperparameters:
    return given.model_copy(update={k: v for k, v in overrides.model_dump().items() if v is not None})


def _method(recipe: Recipe) -> Method:
    if recipe.pretext is not None:
        return Method.FREEZE
    if recipe.base is None:
        return Method.SCRATCH
    return Method.TL1 if recipe.architecture is Architecture.SCHNET else Method.FINE_TUNE


def _base(recipe: Recipe, store: Path) -> tuple[tuple[Manifest, bytes] | None, Parent | None]:
    if recipe.base is None:
        return None, None
    folder = store / recipe.name / str(recipe.base)
    manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_text())
    parent = Parent(name=recipe.name, version=recipe.base, weights_sha256=manifest.weights_sha256)
    return (manifest, (folder / WEIGHTS_FILE).read_bytes()), parent


def prepare_recipe(
    recipe: Recipe, path: Path, work_dir: Path, on_featurised: Callable[[int, int], None]
) -> PreparedTable:
    """The rows of a recipe's file that train or measure its model, featurised; graphs are kept under `work_dir`.

    Raises what `select_rows` raises.
    """
    samples: Samples
    settings = representation_for(recipe.architecture, recipe.network)
    if isinstance(settings, GraphSettings):
        graphs, keys, elements, rows = _structure_samples(path, settings, work_dir, on_featurised)
        samples, sizes = graphs, graphs.source.n_sites
    else:
        assert isinstance(settings, Described)
        samples, keys, elements, rows = _composition_samples(path, settings, on_featurised)
        sizes = np.ones(len(rows), dtype=np.int64)
    column = pq.read_table(path, columns=[recipe.label_column]).column(0).to_numpy()
    labels = column.astype(np.float64)[rows]
    chosen, left_out = select_rows(recipe.rows, SourceRows(path, rows, labels, keys, sizes))
    present = sorted(set().union(*(elements[i] for i in chosen)))
    return PreparedTable(
        samples=samples.take(chosen),
        labels=labels[chosen],
        keys=[keys[i] for i in chosen],
        elements=[SYMBOLS[z] for z in present],
        filters=(f"{len(column) - len(rows)} rows left out: their input could not be used", *left_out),
        always_train=recipe.always_train,
    )


def _structure_samples(
    path: Path, settings: GraphSettings, work_dir: Path, on_featurised: Callable[[int, int], None]
) -> tuple[GraphSamples, list[str], list[tuple[int, ...]], npt.NDArray[np.int64]]:
    """Graphs of all readable rows, memory-mapped from `work_dir/graphs` after the first time; source row of each."""
    made_from = f"{file_digest(path)}{settings.model_dump_json()}{GRAPH_RULES}"
    key = hashlib.sha256(made_from.encode()).hexdigest()
    folder = work_dir / "graphs" / _folder_name(path, settings)
    with one_writer(folder):
        packed = PackedGraphs.load(folder, key)
        if packed is None:
            write_packed(folder, key, _packed_parts(path, settings, folder / _ROWS_FILE, on_featurised))
            packed = PackedGraphs.load(folder, key)
            assert packed is not None
        described = json.loads((folder / _ROWS_FILE).read_text())
    elements = [tuple(numbers) for numbers in described["elements"]]
    return GraphSamples(packed), described["keys"], elements, np.array(described["rows"], dtype=np.int64)


def _folder_name(path: Path, settings: GraphSettings) -> str:
    """Graphs of other settings than the usual lie in a folder of their own."""
    if settings == GraphSettings():
        return path.stem
    return f"{path.stem}-{hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:8]}"


def _packed_parts(
    path: Path, settings: GraphSettings, rows_file: Path, on_featurised: Callable[[int, int], None]
) -> Iterator[PackedGraphs]:
    """Graphs of a file, a part at a time; at the end `rows_file` gets their source rows, formulas and elements."""
    described: dict[str, list[Any]] = {"rows": [], "keys": [], "elements": []}
    file = pq.ParquetFile(path)
    n_rows = file.metadata.num_rows
    context = multiprocessing.get_context("spawn")
    first = 0
    with context.Pool() as pool:
        for table in file.iter_batches(batch_size=_PART, columns=["cif"]):
            graphs = []
            jobs = ((cif, settings) for cif in table.column(0).to_pylist())
            for index, answer in enumerate(pool.imap(_featurise_one, jobs, chunksize=_CHUNK), first):
                if answer is not None:
                    graph, composition, elements = answer
                    graphs.append(graph)
                    described["rows"].append(index)
                    described["keys"].append(composition)
                    described["elements"].append(elements)
            first += table.num_rows
            on_featurised(first, n_rows)
            if graphs:
                yield PackedGraphs.pack(graphs)
    rows_file.write_text(json.dumps(described))


def _featurise_one(job: tuple[str, GraphSettings]) -> Featurised | None:
    cif, settings = job
    try:
        crystal = read_structure(cif)
        graph = build_crystal_graph(crystal, settings)
    except XtalforgeError:
        return None
    return graph, composition_key(crystal), tuple(sorted(elements_of(crystal)))


def _composition_samples(
    path: Path, settings: Described, on_featurised: Callable[[int, int], None]
) -> tuple[Samples, list[str], list[tuple[int, ...]], npt.NDArray[np.int64]]:
    """Descriptors of all readable rows; source row of each."""
    formulas = pq.read_table(path, columns=["formula"]).column(0).to_pylist()
    found: list[npt.NDArray[np.float32]] = []
    keys, elements, rows = [], [], []
    for start in range(0, len(formulas), _AT_ONCE):
        readable = [(start + i, each) for i, each in enumerate(map(_read, formulas[start : start + _AT_ONCE])) if each]
        samples, errors = make_samples([composition for _, composition in readable], settings)
        assert isinstance(samples, VectorSamples)
        found.append(samples.features)
        for (index, composition), error in zip(readable, errors, strict=True):
            if error is None:
                rows.append(index)
                keys.append(composition_key(composition))
                elements.append(tuple(sorted(elements_of(composition))))
        on_featurised(min(start + _AT_ONCE, len(formulas)), len(formulas))
    return VectorSamples(np.concatenate(found)), keys, elements, np.array(rows, dtype=np.int64)


def _read(formula: str) -> Composition | None:
    try:
        return parse_composition(formula)
    except XtalforgeError:
        return None
