"""Sources for the levers that the package does not ship: what one learns differs, everything else is equal.

    python -m benchmarks.transfer_levers_sources --data-kit DIR                           # 40 minutes on one core

All are CGCNN models of the shape of the shipped ones, trained on the same 39,000 crystals of at most 20 atoms for the
same number of steps: on the formation energy; on this and the PBE band gap, with a second output layer; on lengths that
noise changed, as in Godwin et al. (ICLR 2022), whose part of the noise the network tells from the atoms at both ends;
and on energy and noise. Transfers drop what is added. Go into .work/transfer_levers/sources, where
`python -m benchmarks.transfer_levers` finds them.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from app.core.settings import PROJECT_ROOT
from app.learning.checkpoints import network_to_bytes, weights_digest
from app.learning.device import flushed_denormals, keep_freed_memory
from app.learning.graphs.batch import GraphBatch
from app.learning.networks.cgcnn import Cgcnn
from app.learning.networks.factory import build_network
from app.learning.pretraining import prepare_recipe
from app.learning.recipes import CGCNN_NETWORK, RECIPES
from app.learning.row_filter import RowFilter
from app.learning.samples import Samples
from app.registry.manifest import MANIFEST_FILE, WEIGHTS_FILE, Architecture, Manifest

FILE = "source_mp_structures_eform_le20.parquet"
ENERGY, GAP = "formation_energy_eV_per_atom", "band_gap_pbe_eV"


@dataclass(frozen=True, slots=True)
class Objective:
    """Columns of the file to learn, and the weight of telling the noise of lengths; 0: none is added."""

    columns: tuple[str, ...]
    noise_weight: float = 0.0


ONE_PROPERTY, TWO_PROPERTIES = "small-energy/1", "small-energy-and-gap/1"
NOISE, ENERGY_AND_NOISE = "small-noise/1", "small-energy-and-noise/1"
OWN_SOURCES = {
    ONE_PROPERTY: Objective((ENERGY,)),
    TWO_PROPERTIES: Objective((ENERGY, GAP)),
    NOISE: Objective((), noise_weight=1.0),
    ENERGY_AND_NOISE: Objective((ENERGY,), noise_weight=0.2),
}
"""By name and version."""
NOISE_OF_LENGTHS = 0.1
"""Å, standard deviation."""
EPOCHS, BATCH, RATE, DECAY = 20, 64, 3e-3, 1e-2
MODEL_OF = "cgcnn-formation-energy/1"
_CPU = torch.device("cpu")

FloatArray = npt.NDArray[np.float64]


def rows(kit: Path, work_dir: Path) -> tuple[Samples, FloatArray]:
    """Graphs, and both labels (n, 2), of the rows of the file that make a graph."""
    recipe = replace(RECIPES[MODEL_OF], file=FILE, rows=RowFilter())
    with tqdm(desc="featurising", unit="row", file=sys.stderr) as bar:

        def on_featurised(done: int, _: int) -> None:
            bar.update(done - bar.n)

        found = [
            prepare_recipe(replace(recipe, label_column=column), kit / FILE, work_dir, on_featurised)
            for column in (ENERGY, GAP)
        ]
    assert found[0].keys == found[1].keys
    return found[0].samples, np.stack([each.labels for each in found], axis=1)


class Learner(nn.Module):
    """A network, and the layers that one objective needs beside it."""

    def __init__(self, network: Cgcnn, objective: Objective) -> None:
        super().__init__()
        self.network, self.objective = network, objective
        n_more, width = len(objective.columns) - 1, network.settings.atom_feature_dim
        self.more = nn.Linear(network.settings.hidden_dim, n_more) if n_more > 0 else None
        self.noise = (
            nn.Sequential(nn.Linear(2 * width + network.radial.n_functions, width), nn.SiLU(), nn.Linear(width, 1))
            if objective.noise_weight
            else None
        )

    def loss(self, batch: GraphBatch, wanted: Tensor, random: torch.Generator) -> Tensor:
        """Mean absolute error of standardised labels (B, k), and of the noise in units of its own spread."""
        added = torch.randn(batch.distances.shape[0], generator=random) if self.noise else None
        if added is not None:
            batch = replace(batch, distances=(batch.distances + NOISE_OF_LENGTHS * added).clamp_min(0.1))
        nodes, radial, crystals = self._features(batch)
        total = torch.zeros(())
        if self.objective.columns:
            total = total + (self._answers(crystals) - wanted).abs().mean()
        if self.noise is not None and added is not None:
            ends = (nodes.index_select(0, batch.centre), nodes.index_select(0, batch.neighbour), radial)
            found = self.noise(torch.cat(ends, dim=1)).squeeze(1)
            total = total + self.objective.noise_weight * (found - added).abs().mean()
        return total

    def _features(self, batch: GraphBatch) -> tuple[Tensor, Tensor, Tensor]:
        """As `Cgcnn.embed` makes them: of atoms (N, F), of edges (E, R), of crystals (B, F)."""
        network = self.network
        nodes, radial = network.convolved(network.embedded(batch), batch)
        pooled = torch.zeros(batch.n_crystals, nodes.shape[1])
        return nodes, radial, pooled.index_add(0, batch.crystal_index, nodes * batch.node_weights[:, None])

    def _answers(self, crystals: Tensor) -> Tensor:
        """(B, k): the network's own output first."""
        features = self.network.activation(crystals)
        for layer in self.network.hidden:
            features = self.network.activation(layer(features))
        columns = [self.network.output(features), *([self.more(features)] if self.more else [])]
        return torch.cat(columns, dim=1)


def train(samples: Samples, labels: FloatArray, seed: int, name: str) -> nn.Module:
    """The network of a source; of `labels` (n, k) the columns that it learns."""
    torch.manual_seed(seed)
    network = build_network(Architecture.CGCNN, CGCNN_NETWORK)
    assert isinstance(network, Cgcnn)
    learner = Learner(network, OWN_SOURCES[name])
    wanted = torch.from_numpy((labels - labels.mean(axis=0)) / labels.std(axis=0)).float()
    wanted = wanted[:, : len(OWN_SOURCES[name].columns)]
    optimizer = torch.optim.AdamW(learner.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    n_steps = EPOCHS * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=n_steps)
    order, random = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    learner.train()
    with tqdm(range(EPOCHS), desc=name, unit="epoch", file=sys.stderr) as bar:
        for _ in bar:
            shuffled, total = order.permutation(len(labels)), 0.0
            for start in range(0, len(labels) - BATCH + 1, BATCH):
                part = shuffled[start : start + BATCH]
                loss = learner.loss(samples.batch(part, _CPU), wanted[part], random)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                total += loss.item()
            bar.set_postfix(loss=f"{total / (len(labels) // BATCH):.4f}")
    return network.eval()


def write(network: nn.Module, labels: FloatArray, name: str, folder: Path) -> None:
    """As a version of the store, with the manifest of the shipped model but for what a transfer reads."""
    manifest = Manifest.model_validate_json((PROJECT_ROOT / "models_store" / MODEL_OF / MANIFEST_FILE).read_text())
    weights = network_to_bytes(network)
    scaling = manifest.scaling.model_copy(update={"mean": float(labels.mean()), "std": float(labels.std())})
    changed = {
        "name": name.partition("/")[0], "weights_sha256": weights_digest(weights), "scaling": scaling,
        "trust": None,
    }  # fmt: skip
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / WEIGHTS_FILE).write_bytes(weights)
    (folder / name / MANIFEST_FILE).write_text(manifest.model_copy(update=changed).model_dump_json())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=PROJECT_ROOT / ".work/transfer_levers/sources")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    keep_freed_memory()
    samples, labels = rows(options.data_kit, options.folder.parent / "rows")
    for name in OWN_SOURCES:
        if not (options.folder / name / MANIFEST_FILE).is_file():
            with flushed_denormals():
                network = train(samples, labels, 0, name)
            write(network, labels[:, 0], name, options.folder)


if __name__ == "__main__":
    main()
