"""cgcnn2: its data set class, collation, network and training loop as they are installed."""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cgcnn2
import numpy as np
import torch
from cgcnn2.data import CIFData, collate_pool
from cgcnn2.model import CrystalGraphConvNet
from torch import nn
from torch.utils.data import DataLoader, Subset

from benchmarks.peers.files import Span, one_by_one

_BATCH = 256
"""The batch size of its command lines."""


class Contender:
    def __init__(self, weights: str = "") -> None:
        self.network = CrystalGraphConvNet(92, 41, atom_fea_len=64, n_conv=3, h_fea_len=128, n_h=1)
        if weights:
            stored = np.load(weights)
            self.network.load_state_dict({name: torch.from_numpy(stored[name]) for name in stored.files}, strict=False)
        self.network.eval()
        self.sets: dict[str, CIFData] = {}
        self.batches: list[Any] = []

    def about(self) -> dict[str, Any]:
        return {"package": f"cgcnn2 {version('cgcnn2')}", "torch": torch.__version__}

    def _set(self, folder: str) -> CIFData:
        """The data set of a folder, with nothing in its cache."""
        if folder not in self.sets:
            table = Path(folder) / "atom_init.json"
            if not table.exists():
                shutil.copy(Path(cgcnn2.__file__).parent / "asset" / "atom_init.json", table)
            self.sets[folder] = CIFData(folder)
        self.sets[folder].clear_cache()
        return self.sets[folder]

    def graphs(self, folder: str, span: Span) -> None:
        files = self._set(folder)
        for index in range(len(files))[slice(*span)]:
            files[index]

    def prepare_forward(self, folder: str, span: Span, batch: int) -> None:
        files = self._set(folder)
        items = [files[index] for index in range(len(files))[slice(*span)]]
        self.batches = [collate_pool(items[i : i + batch])[0] for i in range(0, len(items), batch)]

    @torch.inference_mode()
    def forward(self, threads: int) -> None:
        torch.set_num_threads(threads)
        for inputs in self.batches:
            self.network(*inputs)

    @torch.inference_mode()
    def predict(self, folder: str, span: Span, threads: int, loaders: int = 0, keep: bool = False) -> dict[str, Any]:
        """As its prediction command: a loader in batches of 256, with `loaders` processes."""
        torch.set_num_threads(threads)
        files = self._set(folder)
        chosen = Subset(files, range(len(files))[slice(*span)])
        loader = DataLoader(chosen, batch_size=_BATCH, shuffle=False, num_workers=loaders, collate_fn=collate_pool)
        values = [self.network(*inputs)[0].squeeze(1) for inputs, _, _ in loader]
        return {"predictions": torch.cat(values).tolist()} if keep else {}

    @torch.inference_mode()
    def single(self, folder: str, span: Span, threads: int) -> dict[str, Any]:
        torch.set_num_threads(threads)
        files = self._set(folder)
        numbers = {f"{files.root_dir}/{row[0]}.cif": number for number, row in enumerate(files.id_prop_data)}
        paths = sorted(numbers)[slice(*span)]
        return one_by_one(
            lambda path: self.network(*collate_pool([files[numbers[str(path)]]])[0]), [Path(path) for path in paths]
        )

    def train_begin(self, folder: str, n: int, batch: int, rate: float) -> None:
        """Network, data and optimiser of its training command (Adam, squared error), nothing read yet."""
        self.files = self._set(folder)
        torch.manual_seed(0)
        chosen = Subset(self.files, range(n))
        self.loader = DataLoader(chosen, batch_size=batch, shuffle=True, num_workers=0, collate_fn=collate_pool)
        targets = torch.tensor([float(row[1]) for row in self.files.id_prop_data[:n]])
        self.mean, self.std = targets.mean(), targets.std()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)

    def first_epoch(self, folder: str, n: int, batch: int, rate: float, threads: int) -> dict[str, Any]:
        """All from the beginning: reading, featurising, one epoch."""
        self.train_begin(folder, n, batch, rate)
        return self.train_epoch(threads)

    def train_epoch(self, threads: int) -> dict[str, Any]:
        """The loop of cgcnn2/cli/cgcnn_tr.py, over one epoch."""
        torch.set_num_threads(threads)
        self.network.train()
        total = 0.0
        criterion = nn.MSELoss()
        for inputs, targets, _ in self.loader:
            self.optimizer.zero_grad()
            outputs, _ = self.network(*inputs)
            loss = criterion(outputs, (targets - self.mean) / self.std)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return {"extra": {"train_loss": total / len(self.loader)}}
