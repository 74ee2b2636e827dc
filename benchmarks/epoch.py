"""Seconds per epoch on the full formation-energy set, and what bounds them.

    python -m benchmarks.epoch --data-kit DIR [--device cuda] [--batch-size 64 256 1024] [--precision float32 bfloat16]

Prints for each setting: seconds per epoch, structures per second, memory, and the arithmetic: operations, bytes moved
and kernels launched in a step, and the least time each of them would take. Bandwidth and arithmetic rate of the machine
are measured in the same run, with a copy and a matrix product.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from torch.profiler import ProfilerActivity, profile

from app.learning.device import flushed_denormals, keep_freed_memory, torch_device
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.networks.factory import build_network
from app.learning.presets import resolve_hyperparameters
from app.learning.pretraining import prepare_recipe
from app.learning.recipes import RECIPES
from app.learning.targets import TargetMap
from app.learning.training.loop import LabelledSamples, Trainer
from app.learning.training.plan import TrainingPlan
from app.learning.training_job import PreparedTable
from app.properties.catalogue import Transform

RECIPE = RECIPES["cgcnn-formation-energy/1"]
RESULT = Path(__file__).parent / "results" / "speed" / "epoch.json"
LAUNCH_S = {"cuda": 4e-6, "cpu": 2e-6}
"""What starting one kernel costs the host, about."""
PASSES = 26
"""Times that an array of E x 2F numbers is read or written in a step, counted from the operations of the gated
convolution: 10 forward, 16 backward."""


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(work: object, device: torch.device, repeats: int = 5) -> float:
    """The least of some timed calls."""
    assert callable(work)
    times = []
    for _ in range(repeats):
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        times.append(time.perf_counter() - started)
    return min(times)


def machine_rates(device: torch.device) -> tuple[float, float]:
    """Bytes per second of a copy (read and written), operations per second of a float32 product of the edges' shape."""
    block = torch.zeros(64_000_000 if device.type == "cuda" else 8_000_000, device=device)
    target = torch.empty_like(block)
    bandwidth = 2 * 4 * block.numel() / seconds(lambda: target.copy_(block), device)
    edges, weight = torch.rand(48_000, 41, device=device), torch.rand(41, 192, device=device)
    return bandwidth, 2.0 * 48_000 * 41 * 192 / seconds(lambda: edges @ weight, device)


def step_arithmetic(prepared: PreparedTable, batch_size: int, trainer: Trainer) -> dict[str, float]:
    """Operations, bytes and kernels of an average step; backward is twice forward."""
    settings = trainer.network.settings
    f, n_conv, radial = settings.atom_feature_dim, settings.n_conv, round(settings.cutoff / settings.radial_step) + 1
    source = prepared.samples.source  # type: ignore[attr-defined]
    nodes, edges = source.n_nodes.mean() * batch_size, source.n_edges.mean() * batch_size
    operations = 3.0 * n_conv * (edges * 2 * radial * 2 * f + nodes * 2 * f * 4 * f)
    moved = n_conv * PASSES * edges * 2 * f * 4.0
    part = np.arange(batch_size)
    batch = trainer.train.samples.batch(part, trainer.device)
    activity = ProfilerActivity.CUDA if trainer.device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiled:
        trainer._train_step([(part, batch)], batch_size)  # noqa: SLF001
        synchronise(trainer.device)
    events = profiled.key_averages()
    # On a CPU every operation counts that computes something itself.
    kernels = sum(
        e.count
        for e in events
        if e.device_type.name == "CUDA" or (activity is ProfilerActivity.CPU and e.self_cpu_time_total > 2 * e.count)
    )
    return {"edges": edges, "operations": operations, "bytes": moved, "kernels": float(kernels)}


def measure(
    prepared: PreparedTable, batch_size: int, precision: str, device: torch.device, n_epochs: int, limit: int | None
) -> dict[str, float | str | int]:
    given = Hyperparameters(precision=precision, batch_size=batch_size, max_epochs=n_epochs + 1)  # type: ignore[arg-type]
    chosen = RECIPE.hyperparameters.model_copy(update=given.model_dump(exclude_none=True))
    resolved = resolve_hyperparameters(RECIPE.architecture, Method.SCRATCH, chosen, len(prepared.labels))
    rows = np.arange(len(prepared.labels))[:limit]
    data = LabelledSamples(prepared.samples.take(rows), prepared.labels[rows])
    target_map = TargetMap.fit(data.labels, Transform.IDENTITY, "standard")
    torch.manual_seed(0)
    network = build_network(RECIPE.architecture, RECIPE.network)
    with tempfile.TemporaryDirectory() as folder, flushed_denormals():
        trainer = Trainer(network, TrainingPlan.of(resolved, 0), target_map, data, data, Path(folder), "bench", device)
        trainer._train_epoch(0, lambda: False)  # noqa: SLF001
        times = []
        for epoch in range(1, n_epochs + 1):
            synchronise(device)
            started = time.perf_counter()
            trainer._train_epoch(epoch, lambda: False)  # noqa: SLF001
            synchronise(device)
            times.append(time.perf_counter() - started)
        step = step_arithmetic(prepared, batch_size, trainer)
    epoch_s = float(np.median(times))
    return {
        "batch_size": batch_size, "precision": precision, "n_structures": len(rows), "epoch_s": epoch_s,
        "spread_s": float(max(times) - min(times)), "structures_per_s": len(rows) / epoch_s,
        "step_ms": 1e3 * epoch_s / trainer.steps_per_epoch, **step,
        "device_mb": torch.cuda.max_memory_allocated() / 1e6 if device.type == "cuda" else 0.0,
        "rss_mb": psutil.Process().memory_info().rss / 1e6,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, default=Path("data/pretrain"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=int, help="structures used, instead of all")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    device = torch_device(options.device)
    keep_freed_memory()
    started = time.perf_counter()
    path = options.data_kit / RECIPE.file
    prepared = prepare_recipe(RECIPE, path, options.work_dir, lambda done, total: print(f"graphs {done}/{total}"))
    start_s = time.perf_counter() - started
    rss_mb = psutil.Process().memory_info().rss / 1e6
    print(f"{len(prepared.labels)} structures ready after {start_s:.1f} s, {rss_mb:.0f} MB")
    bandwidth, rate = machine_rates(device)
    name = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    print(f"{name}: {bandwidth / 1e9:.1f} GB/s, {rate / 1e9:.0f} GFLOP/s")
    rows = []
    for precision in options.precision:
        for batch_size in options.batch_size:
            row = measure(prepared, batch_size, precision, device, options.epochs, options.limit)
            bounds = {
                "bandwidth": float(row["bytes"]) / bandwidth, "arithmetic": float(row["operations"]) / rate,
                "launches": float(row["kernels"]) * LAUNCH_S[device.type],
            }  # fmt: skip
            bound = max(bounds, key=lambda key: bounds[key])
            row |= {f"least_{key}_ms": 1e3 * value for key, value in bounds.items()}
            row |= {"bound_by": bound, "share_of_bound": 1e3 * bounds[bound] / float(row["step_ms"])}
            rows.append(row)
            print(
                f"{precision:9s} batch {batch_size:5d}: {row['epoch_s']:.2f} s/epoch, {row['structures_per_s']:.0f}/s, "
                f"step {row['step_ms']:.2f} ms; least: "
                + ", ".join(f"{key} {1e3 * value:.2f} ms" for key, value in bounds.items())
                + f"; {100 * float(row['share_of_bound']):.0f} % of the {bound} bound"
            )
    report = {"device": name, "start_s": start_s, "bandwidth": bandwidth, "flops": rate, "torch": torch.__version__}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
