"""Sources for the levers that the package does not ship: one property beside two, everything else equal.

    python -m benchmarks.transfer_levers_sources --data-kit DIR                           # 15 minutes on one core

Both are CGCNN models of the shape of the shipped ones, trained on the same 39,000 crystals of at most 20 atoms for the
same number of steps; the second has a second output layer for the PBE band gap, which transfers drop. Go into
.work/transfer_levers/sources, where `python -m benchmarks.transfer_levers` finds them.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from app.core.settings import PROJECT_ROOT
from app.learning.checkpoints import network_to_bytes, weights_digest
from app.learning.device import flushed_denormals, keep_freed_memory
from app.learning.networks.cgcnn import Cgcnn
from app.learning.networks.factory import build_network
from app.learning.pretraining import prepare_recipe
from app.learning.recipes import CGCNN_NETWORK, RECIPES
from app.learning.row_filter import RowFilter
from app.learning.samples import Samples
from app.registry.manifest import MANIFEST_FILE, WEIGHTS_FILE, Architecture, Manifest

FILE = "source_mp_structures_eform_le20.parquet"
ENERGY, GAP = "formation_energy_eV_per_atom", "band_gap_pbe_eV"
ONE_PROPERTY, TWO_PROPERTIES = "small-energy/1", "small-energy-and-gap/1"
OWN_SOURCES: dict[str, tuple[str, ...]] = {ONE_PROPERTY: (ENERGY,), TWO_PROPERTIES: (ENERGY, GAP)}
"""By name and version: the properties that it learns, the one it predicts first."""
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


def train(samples: Samples, labels: FloatArray, seed: int, name: str) -> nn.Module:
    """A network with an output for each column of `labels` (n, k); lowers their mean standardised absolute error."""
    torch.manual_seed(seed)
    network = build_network(Architecture.CGCNN, CGCNN_NETWORK)
    assert isinstance(network, Cgcnn)
    more = nn.Linear(network.settings.hidden_dim, labels.shape[1] - 1) if labels.shape[1] > 1 else None
    wanted = torch.from_numpy((labels - labels.mean(axis=0)) / labels.std(axis=0)).float()
    parameters = [*network.parameters(), *(more.parameters() if more else [])]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY, fused=True)
    n_steps = EPOCHS * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=n_steps)
    order = np.random.default_rng(seed)
    network.train()
    for _ in tqdm(range(EPOCHS), desc=name, unit="epoch", file=sys.stderr):
        shuffled = order.permutation(len(labels))
        for start in range(0, len(labels) - BATCH + 1, BATCH):
            part = shuffled[start : start + BATCH]
            answers = _answers(network, more, samples.batch(part, _CPU))
            optimizer.zero_grad()
            (answers - wanted[part]).abs().mean().backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
    return network.eval()


def _answers(network: Cgcnn, more: nn.Linear | None, batch: object) -> Tensor:
    """(B, k): the network's own output first."""
    features = network.activation(network.embed(batch))  # type: ignore[arg-type]
    for layer in network.hidden:
        features = network.activation(layer(features))
    columns = [network.output(features), *([more(features)] if more else [])]
    return torch.cat(columns, dim=1)


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
    for name, columns in OWN_SOURCES.items():
        if not (options.folder / name / MANIFEST_FILE).is_file():
            with flushed_denormals():
                network = train(samples, labels[:, : len(columns)], 0, name)
            write(network, labels[:, 0], name, options.folder)


if __name__ == "__main__":
    main()
