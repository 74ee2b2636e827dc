"""Seconds an epoch of K trainings side by side against the same K one after another, and what bounds them; answers too.

    python benchmarks/stacked.py --data-kit DIR [--device cuda] [--members 1 2 5 10] [--out FILE.json]

Bulk moduli (de Jong 2015): 500 training and 125 validation rows, default hyperparameters of `scratch`, each member with
its own seed and split. Both ways take turns in one process; the ratio is of rounds next to each other.

The bound: no step is faster than its operations times what issuing one costs (measured with a tiny one), nor than the
bytes its operations read and write over the memory bandwidth (measured with a large copy).

The second table: milliseconds for the answers of K networks to one batch, asked one by one and as a stack.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Threads that wait must not take the time of those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from app.learning.device import flushed_denormals, torch_device
from app.learning.graphs.settings import GraphSettings
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.networks.stacked import StackedEnsemble
from app.learning.presets import resolve_hyperparameters
from app.learning.samples import Samples, make_samples
from app.learning.targets import TargetMap
from app.learning.training.loop import LabelledSamples
from app.learning.training.members import train_members
from app.learning.training.plan import TrainingPlan
from app.learning.training.stacked_member import Member
from app.learning.transfer import initial_network
from app.properties.catalogue import Transform, get_property
from app.registry.manifest import Architecture, PropertyRecord
from app.structures.reader import read_structure

N_TRAIN, N_VAL = 500, 125
_NO_KERNEL = {
    "alias", "as_strided", "detach", "empty", "expand", "permute", "select", "slice", "split", "split_with_sizes",
    "squeeze", "t", "transpose", "unbind", "unsqueeze", "view", "_unsafe_view", "lift_fresh",
}  # fmt: skip


@dataclass(frozen=True)
class Costs:
    """Of one training step, for all members together."""

    operations: float
    gigabytes: float


class _Counter(TorchDispatchMode):
    """Operations that start a kernel, and the bytes of the tensors they take and give."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.bytes = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.name().split("::")[1].split(".")[0] not in _NO_KERNEL:
            self.operations += 1
            tensors = _pytree.tree_leaves((args, kwargs, result))
            self.bytes += sum(t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor))
        return result


@dataclass(frozen=True)
class Data:
    samples: Samples
    labels: np.ndarray


def read_data(kit: Path) -> Data:
    path = kit / "target_elastic_dejong2015_1181.parquet"
    columns = pq.read_table(path, columns=["K_VRH_GPa", "cif"]).slice(0, N_TRAIN + N_VAL).to_pydict()
    samples, errors = make_samples([read_structure(cif) for cif in columns["cif"]], GraphSettings())
    good = [error is None for error in errors]
    return Data(samples, np.array(columns["K_VRH_GPa"])[good])


def members_of(data: Data, k: int, epochs: int, precision: str, n_train: int = N_TRAIN) -> list[Member]:
    given = Hyperparameters(max_epochs=epochs, precision=precision)
    chosen = resolve_hyperparameters(Architecture.CGCNN, Method.SCRATCH, given, N_TRAIN + N_VAL)
    target = PropertyRecord.of(get_property("k_vrh"))
    members = []
    for seed in range(k):
        torch.manual_seed(seed)
        network = initial_network(Architecture.CGCNN, Method.SCRATCH, chosen, None, target)
        rows = np.random.default_rng(seed).permutation(len(data.labels))
        train, val = rows[:n_train], rows[n_train:]
        members.append(
            Member(
                network,
                TrainingPlan.of(chosen, seed),
                TargetMap.fit(data.labels[train], Transform.LOG10, "standard"),
                LabelledSamples(data.samples.take(train), data.labels[train]),
                LabelledSamples(data.samples.take(val), data.labels[val]),
            )
        )
    return members


def train(members: list[Member], device: torch.device, side_by_side: bool) -> list[list[float]]:
    """Train to the end; seconds of each epoch of each member, whole stack's where they go in lock-step."""
    with tempfile.TemporaryDirectory() as folder, flushed_denormals():
        stamps: list[list[float]] = [[0.0] for _ in members]
        train_members(
            members,
            Path(folder),
            "benchmark",
            device,
            lambda index, event: stamps[index].append(event.elapsed_s),
            lambda: False,
            side_by_side,
        )
    return [np.diff(own).tolist() for own in stamps]


def seconds_per_epoch(data: Data, k: int, epochs: int, precision: str, device: torch.device, stack: bool) -> float:
    """Of all K members; the first epoch, which warms up, is left out."""
    members = members_of(data, k, epochs + 1, precision)
    medians = [statistics.median(own[1:]) for own in train(members, device, stack)]
    return medians[0] if stack else sum(medians)


def costs_per_step(data: Data, k: int, precision: str, device: torch.device, stack: bool) -> Costs:
    """The difference between epochs of more and of fewer steps, so that what is done once an epoch falls out."""
    counted = []
    batch = members_of(data, 1, 1, precision)[0].plan.batch_size
    steps = (4, 12)
    for n_steps in steps:
        with _Counter() as counter:
            train(members_of(data, k, 1, precision, n_train=n_steps * batch), device, stack)
        counted.append((counter.operations, counter.bytes))
    operations, size = ((b - a) / (steps[1] - steps[0]) for a, b in zip(*counted, strict=True))
    return Costs(operations, size / 1e9)


def _timed(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Seconds of one call, the best of five series."""
    series = []
    for _ in range(5):
        if device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(repeats):
            call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        series.append((time.perf_counter() - started) / repeats)
    return min(series)


def machine_limits(device: torch.device) -> tuple[float, float]:
    """Microseconds to issue an operation, gigabytes a second that a copy reads and writes."""
    tiny = torch.zeros(1, device=device)
    large = torch.zeros(64_000_000, device=device)
    target = torch.empty_like(large)
    issue_s = _timed(lambda: tiny.add_(1.0), device, 2000)
    copy_s = _timed(lambda: target.copy_(large), device, 3)
    return issue_s * 1e6, 2 * large.numel() * 4 / copy_s / 1e9


def measure(data: Data, k: int, options: argparse.Namespace, device: torch.device, limits: tuple[float, float]) -> dict:
    rounds: dict[bool, list[float]] = {True: [], False: []}
    for number in range(options.rounds):
        for stack in (True, False) if number % 2 else (False, True):
            rounds[stack].append(seconds_per_epoch(data, k, options.epochs, options.precision, device, stack))
    ratios = [single / stack for stack, single in zip(rounds[True], rounds[False], strict=True)]
    n_steps = N_TRAIN // members_of(data, 1, 1, options.precision)[0].plan.batch_size
    row = {"k": k, "ratio": statistics.median(ratios), "ratio_range": [min(ratios), max(ratios)], "steps": n_steps}
    for stack, name in ((False, "one_after_another"), (True, "side_by_side")):
        costs = costs_per_step(data, k, options.precision, device, stack)
        issuing_s, moving_s = costs.operations * limits[0] / 1e6, costs.gigabytes / limits[1]
        seconds = statistics.median(rounds[stack])
        row[name] = {
            "epoch_s": seconds,
            "step_ms": seconds / n_steps * 1e3,
            "issuing_ms": issuing_s * 1e3,
            "moving_ms": moving_s * 1e3,
            "share_of_bound": max(issuing_s, moving_s) * n_steps / seconds,
            **asdict(costs),
        }
    return row


def report(rows: list[dict], limits: tuple[float, float]) -> None:
    print(f"One operation costs {limits[0]:.2f} us to issue; memory moves {limits[1]:.0f} GB/s.\n")
    print("| K | way | s/epoch | ratio (range) | ms/step | ops/step | issuing, ms | GB/step | moving, ms | of bound |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        for name in ("one_after_another", "side_by_side"):
            r = row[name]
            ratio = f"{row['ratio']:.2f} ({row['ratio_range'][0]:.2f}-{row['ratio_range'][1]:.2f})"
            print(
                f"| {row['k']} | {name.replace('_', ' ')} | {r['epoch_s']:.4f} | {ratio if name[0] == 's' else 1} | "
                f"{r['step_ms']:.2f} | {r['operations']:.0f} | {r['issuing_ms']:.2f} | {r['gigabytes']:.4f} | "
                f"{r['moving_ms']:.3f} | {r['share_of_bound']:.0%} |"
            )


def measure_answers(data: Data, k: int, n_rows: int, device: torch.device) -> dict[str, float]:
    networks = [member.network.to(device).eval() for member in members_of(data, k, 1, "float32")]
    ensemble = StackedEnsemble(networks)
    batch = data.samples.batch(np.arange(n_rows), device)

    def one_by_one() -> None:
        with torch.inference_mode():
            for network in networks:
                network(batch)

    singles, stacks = [], []
    for _ in range(5):
        singles.append(_timed(one_by_one, device, 5))
        stacks.append(_timed(lambda: ensemble.forward(batch), device, 5))
    ratio = statistics.median(a / b for a, b in zip(singles, stacks, strict=True))
    single_ms, stack_ms = (statistics.median(series) * 1e3 for series in (singles, stacks))
    return {"k": k, "rows": n_rows, "one_by_one_ms": single_ms, "stack_ms": stack_ms, "ratio": ratio}


def report_answers(rows: list[dict[str, float]]) -> None:
    print("\n| K | structures | one by one, ms | stack, ms | ratio |")
    print("|---|---|---|---|---|")
    for r in rows:
        print(f"| {r['k']} | {r['rows']} | {r['one_by_one_ms']:.3f} | {r['stack_ms']:.3f} | {r['ratio']:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, default=os.environ.get("XTALFORGE_DATA_KIT"), help="or the variable")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 5, 10])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the results")
    options = parser.parse_args()
    if options.data_kit is None:
        parser.error("--data-kit or XTALFORGE_DATA_KIT must name the folder with the source files")
    torch.set_num_threads(options.threads)
    device = torch_device(options.device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores, {platform.machine()}"
    print(f"{where}; {options.threads} thread(s); torch {torch.__version__}; {options.precision}")
    data, limits = read_data(Path(options.data_kit)), machine_limits(device)
    rows = [measure(data, k, options, device, limits) for k in options.members]
    report(rows, limits)
    answers = [measure_answers(data, k, n_rows, device) for k in options.members for n_rows in (1, 64)]
    report_answers(answers)
    if options.out:
        date = datetime.now(UTC).isoformat()
        described = {"date": date, "machine": where, "threads": options.threads, "precision": options.precision}
        described |= {"limits": limits, "rows": rows, "answers": answers}
        options.out.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main()
