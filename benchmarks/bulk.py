"""Bulk predictions of very many structures: rate, memory against rows, and a run killed half way.

    python -m benchmarks.bulk --data-kit DIR --rows 1000000                    # 16 to 40 minutes on 2 cores
    python -m benchmarks.bulk --data-kit DIR --rows 20000 --processes 1 2      # minutes
    python -m benchmarks.bulk --data-kit DIR --rows 60000 --workers 1 2        # see benchmarks/bulk_workers.py

The structures of the data kit, repeated until there are enough rows, as one Parquet file. Each run is a process of its
own, as a worker starts it, whose memory and that of its children is looked at all the while. The last one is
killed (SIGKILL, all processes) when half of its parts are there and started again; its results must be those of the
first run, each input once. Writes benchmarks/results/speed/bulk.json, with --workers bulk_workers.json.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from app.bulk.folder import BulkRun, RunFolder
from app.bulk.inputs import look_at
from app.bulk.parts import PartInfo, read_part, total
from app.bulk.run import default_processes, run_bulk
from app.bulk.spec import ModelUse
from app.core.settings import PROJECT_ROOT, LimitSettings
from app.learning.graphs.settings import GraphSettings
from app.predictions.selection import SelectedModel
from app.registry.artifact import Artifact, StoredVersion
from app.registry.manifest import MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest
from benchmarks.bulk_workers import measure_workers
from benchmarks.harness import machine

SOURCE = "source_mp_structures_106k.parquet"
RESULTS = PROJECT_ROOT / "benchmarks/results/speed"
BATCH_ROWS = 1000
SAMPLE_S = 0.5
MEGABYTE = 1 << 20


def write_input(data_kit: Path, n_rows: int, target: Path) -> None:
    """Ids count the rows; memory holds one batch."""
    source = pq.ParquetFile(data_kit / SOURCE)
    batches = (batch for _ in cycle([0]) for batch in source.iter_batches(BATCH_ROWS, columns=["cif"]))
    texts = (text for batch in batches for text in batch.column(0).to_pylist())
    schema = pa.schema([("id", pa.string()), ("cif", pa.string())])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for start in range(0, n_rows, BATCH_ROWS):
            cifs = list(islice(texts, min(BATCH_ROWS, n_rows - start)))
            ids = [str(row) for row in range(start + 1, start + len(cifs) + 1)]
            writer.write_batch(pa.record_batch([ids, cifs], schema=schema))


def create_run(folder: Path, source: Path, models: list[str], n_processes: int, device: str) -> RunFolder:
    limits = LimitSettings()
    with source.open("rb") as file:
        found = look_at(file, limits, 10**9)
    loaded = [_load(reference) for reference in models]
    run = BulkRun.model_validate(
        {
            "input_path": str(source), "input": found, "models": tuple(ModelUse.of(model) for model, _ in loaded),
            "limits": limits, "n_processes": n_processes, "device": device,
        }
    )  # fmt: skip
    created = RunFolder(folder)
    created.create(run, (artifact for _, artifact in loaded))
    return created


def _load(reference: str) -> tuple[SelectedModel, Artifact]:
    folder = PROJECT_ROOT / "models_store" / reference
    manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_text())
    name, number = reference.split("/")
    version = StoredVersion(reference, name, int(number), manifest.weights_sha256, {})
    graph = GraphSettings.model_validate(manifest.graph) if manifest.graph is not None else None
    selected = SelectedModel(version, manifest, graph, frozenset(manifest.elements), is_named=False)
    trust = folder / TRUST_FILE
    return selected, Artifact(
        manifest, (folder / WEIGHTS_FILE).read_bytes(), trust.read_bytes() if trust.is_file() else None
    )


class Silent:
    def counted(self, n_rows: int) -> None: ...

    def finished(self, part: PartInfo) -> None: ...


def run_watched(folder: RunFolder, stop_at: int | None = None) -> dict[str, Any]:
    """Run in a process of its own to the end, or until `stop_at` parts are there and it is killed."""
    started = time.monotonic()
    first_part_s = None
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bulk", "--run", str(folder.path)], cwd=PROJECT_ROOT)
    samples: list[tuple[float, int, int, int]] = []
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        n_parts = sum(1 for _ in (folder.path / "parts").glob("*.parquet"))
        if n_parts and first_part_s is None:
            first_part_s = time.monotonic() - started
        parent, children = _memory(watched)
        samples.append((time.monotonic() - started, n_parts, parent, children))
        if stop_at is not None and n_parts >= stop_at:
            for victim in [*watched.children(recursive=True), watched]:
                with suppress(psutil.NoSuchProcess):
                    victim.kill()
            process.wait()
            return {"killed_at_parts": n_parts}
        time.sleep(SAMPLE_S)
    if process.returncode != 0:
        raise SystemExit(f"the run ended with exit code {process.returncode}")
    wall_s = time.monotonic() - started
    infos = folder.parts()
    return {
        "wall_s": round(wall_s, 1),
        "first_part_s": first_part_s,
        **_rates(infos, wall_s, first_part_s),
        **_flatness(samples),
    }


def _memory(process: psutil.Process) -> tuple[int, int]:
    """Resident bytes of the process, and of the largest of its children."""
    try:
        parent = process.memory_info().rss
        children = [0]
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                children.append(child.memory_info().rss)
        return parent, max(children)
    except psutil.NoSuchProcess:
        return 0, 0


def _rates(infos: list[PartInfo], wall_s: float, first_part_s: float | None) -> dict[str, Any]:
    n_inputs, n_failed, n_lines = total(infos)
    warm = n_inputs - infos[0].n_inputs
    rate = warm / (wall_s - first_part_s) if first_part_s is not None and wall_s > first_part_s else None
    return {
        "rows": n_inputs, "failed": n_failed, "lines": n_lines, "rows_per_s": round(n_inputs / wall_s, 1),
        "rows_per_s_after_the_first_part": round(rate, 1) if rate else None,
    }  # fmt: skip


def _flatness(samples: list[tuple[float, int, int, int]]) -> dict[str, Any]:
    """Peak memory in each tenth of the run: flat when the last are not above the first."""
    n = len(samples)
    tenths = [samples[i * n // 10 : (i + 1) * n // 10] for i in range(10)]
    return {
        "parent_peak_mb_by_tenth": [max((s[2] for s in part), default=0) // MEGABYTE for part in tenths],
        "largest_child_peak_mb_by_tenth": [max((s[3] for s in part), default=0) // MEGABYTE for part in tenths],
    }


def check_kill(first: RunFolder, again: RunFolder) -> dict[str, Any]:
    """Kill a run half way, let it go on, and compare its results with those of the first run, line by line."""
    n_parts = len(first.parts())
    killed = run_watched(again, stop_at=max(1, n_parts // 2))
    resumed = run_watched(again)
    largest = 0.0
    n_rows = 0
    for info in first.parts():
        one, other = read_part(first.part_path(info.number)), read_part(again.part_path(info.number))
        if one.drop_columns("value").to_pylist() != other.drop_columns("value").to_pylist():
            raise SystemExit(f"part {info.number} differs after the kill")
        pairs = zip(one["value"].to_pylist(), other["value"].to_pylist(), strict=True)
        largest = max([largest, *(abs(a - b) for a, b in pairs if a is not None and b is not None)])
        rows = dict.fromkeys(one["row"].to_pylist())
        if list(rows) != list(range(n_rows + 1, n_rows + len(rows) + 1)):
            raise SystemExit(f"part {info.number} does not hold each input once")
        n_rows += len(rows)
    return {**killed, "resumed_wall_s": resumed["wall_s"], "rows": n_rows, "largest_difference": largest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--processes", type=int, nargs="+", default=[default_processes()])
    parser.add_argument("--workers", type=int, nargs="+", help="instead: numbers of Celery workers of one process each")
    parser.add_argument("--models", nargs="+", default=["cgcnn-formation-energy/1"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "auto"])
    parser.add_argument("--no-kill", action="store_true", help="leave the killed run out")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        run_bulk(RunFolder(arguments.run), Silent(), lambda: False)
        return
    if arguments.data_kit is None:
        parser.error("--data-kit is needed")
    work = Path(tempfile.mkdtemp(prefix="xtalforge-bulk-"))
    try:
        result = measure(arguments, work)
    finally:
        shutil.rmtree(work)
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = "bulk.json" if arguments.workers is None else "bulk_workers.json"
    (RESULTS / name).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def measure(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    source = work / "input.parquet"
    write_input(arguments.data_kit, arguments.rows, source)
    if arguments.workers is not None:
        found = measure_workers(source, work / "data", arguments.rows, arguments.models, arguments.workers)
    else:
        found = _measure_processes(arguments, work, source)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "command": _command(),
        "machine": machine(), "models": arguments.models, "device": arguments.device,
        "input_mb": source.stat().st_size // MEGABYTE, **found,
    }  # fmt: skip


def _command() -> str:
    """Without the folder of the data kit, which is another one on each machine."""
    given = sys.argv[1:]
    shown = ["DIR" if before == "--data-kit" else word for before, word in zip(["", *given], given, strict=False)]
    return " ".join(["python -m benchmarks.bulk", *shown])


def _measure_processes(arguments: argparse.Namespace, work: Path, source: Path) -> dict[str, Any]:
    folders, runs = [], []
    for n_processes in arguments.processes:
        folder = create_run(work / f"run-{n_processes}", source, arguments.models, n_processes, arguments.device)
        runs.append({"processes": n_processes, **run_watched(folder)})
        print(json.dumps(runs[-1]), file=sys.stderr)
        folders.append(folder)
    kill = None
    if not arguments.no_kill:
        again = create_run(work / "killed", source, arguments.models, arguments.processes[-1], arguments.device)
        kill = check_kill(folders[-1], again)
    return {"runs": runs, "kill": kill}


if __name__ == "__main__":
    main()
