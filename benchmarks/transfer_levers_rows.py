"""Rows on which levers of transfer learning are compared: 500 train, 125 choose, others of other formulas measure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from app.learning.baselines.search import make_folds
from app.learning.graphs.packed import PackedGraphs
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.networks.ensemble_settings import GRAPH
from app.learning.samples import CompositeSamples, GraphSamples, Samples, VectorSamples
from app.learning.splits import Split
from app.learning.strategies.run import Run, TrainingSpec
from app.learning.tables import PreparedTable, prepare
from app.learning.targets import apply_transform
from app.learning.tournament.entrants import representation_for_all
from app.learning.transfer import Base
from app.properties.catalogue import get_property
from app.registry.manifest import Architecture, InputKind, PropertyRecord
from benchmarks.automatic import TARGETS, table_of, with_split

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

N_ROWS = 625
N_FOLDS = 5
REPRESENTATION = representation_for_all(InputKind.STRUCTURE)
BONDING = REPRESENTATION.descriptors[0]
_ROWS_FILE = "rows.npz"


@dataclass(frozen=True, slots=True)
class Draw:
    """Rows of one target drawn with one seed. `folds` are over the rows that train and choose together."""

    target: str
    seed: int
    target_property: PropertyRecord
    prepared: PreparedTable
    split: Split
    folds: Sequence[tuple[IntArray, IntArray]]

    @property
    def transformed(self) -> FloatArray:
        """Labels of all rows as errors are measured (log10(GPa), say), (n,)."""
        return apply_transform(self.prepared.labels, self.target_property.transform)

    @property
    def fitted(self) -> IntArray:
        """Rows that train or choose."""
        return np.union1d(self.split.train, self.split.val)

    def part(self, name: str) -> Samples:
        """The rows as networks read them (`graph`), or as a descriptor."""
        assert isinstance(self.prepared.samples, CompositeSamples)
        return self.prepared.samples.parts[name]

    def run(
        self, method: Method, chosen: Hyperparameters, base: Base | None, seed: int, split: Split | None = None,
        *, every_part: bool = False,
    ) -> Run:  # fmt: skip
        """A training on these rows; on all that is read of them only where it is for `every_part`."""
        split = split or self.split
        samples = self.prepared.samples if every_part else self.part(GRAPH)
        assert REPRESENTATION.graph is not None
        representation = REPRESENTATION if every_part else REPRESENTATION.graph
        spec = TrainingSpec(
            name=self.target.replace("_", "-"), method=method, architecture=Architecture.CGCNN,
            property=self.target_property, seed=seed, hyperparameters=chosen, dataset_name=TARGETS[self.target].file,
        )  # fmt: skip
        return Run(
            spec, base, replace(self.prepared, samples=samples, split=split), representation, split, "", Path(),
            torch.device("cpu"), lambda _: None, lambda _: None, lambda: False,
        )  # fmt: skip


def draw_rows(target: str, seed: int, data_kit: Path, work_dir: Path) -> Draw:
    """The rows that `benchmarks.automatic` would draw, 625 of them to learn from; kept in `work_dir` once read."""
    folder = work_dir / f"{target}-{seed}"
    prepared = _kept(folder)
    if prepared is None:
        table, _, share = table_of(replace(TARGETS[target], n_rows=N_ROWS), data_kit, seed)
        prepared = with_split(prepare(table, REPRESENTATION), share, seed)
        _keep(folder, prepared)
    assert prepared.split is not None
    rows = np.union1d(prepared.split.train, prepared.split.val)
    folds = make_folds(rows.shape[0], N_FOLDS, seed, [prepared.keys[row] for row in rows])
    spec = get_property(TARGETS[target].property_key)
    return Draw(
        target, seed, PropertyRecord.of(spec), prepared, prepared.split,
        [(rows[train], rows[held_out]) for train, held_out in folds],
    )  # fmt: skip


def _keep(folder: Path, prepared: PreparedTable) -> None:
    samples, split = prepared.samples, prepared.split
    assert isinstance(samples, CompositeSamples) and split is not None
    graphs, described = samples.parts[GRAPH], samples.parts[BONDING.value]
    assert isinstance(graphs, GraphSamples) and isinstance(described, VectorSamples)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / _ROWS_FILE, described=described.features, labels=prepared.labels, keys=np.array(prepared.keys),
        elements=np.array(prepared.elements), train=split.train, val=split.val, test=split.test,
    )  # fmt: skip
    graphs.packed.save(folder / GRAPH, folder.name)


def _kept(folder: Path) -> PreparedTable | None:
    graphs = PackedGraphs.load(folder / GRAPH, folder.name)
    if graphs is None:
        return None
    with np.load(folder / _ROWS_FILE) as kept:
        in_memory = graphs.take(np.arange(len(graphs)))
        samples = CompositeSamples({GRAPH: GraphSamples(in_memory), BONDING.value: VectorSamples(kept["described"])})
        return PreparedTable(
            samples, kept["labels"], kept["keys"].tolist(), kept["elements"].tolist(),
            split=Split(kept["train"], kept["val"], kept["test"]),
        )  # fmt: skip
