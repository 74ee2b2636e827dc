"""The service under load: latency, throughput, start, memory, with real processes and structures not seen before.

    python benchmarks/http_load.py [--quick] [--api-workers 4] [--data-kit DIR]

Starts `xtalforge up` on a data folder of its own with the shipped models, then drives it from a client process on the
same machine: one structure per request to one model and to every champion, at 1 and at 16 connections; and a mix of
compositions, CIFs, uploads, bad inputs and batches of 100. Every CIF is sent once only, so nothing comes from a cache.
Writes benchmarks/results/speed/http.json and prints the same as a table. Client, broker and worker share the cores.
"""

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
from http_client import pack

PROJECT_ROOT = Path(__file__).resolve().parents[1]
RESULT = PROJECT_ROOT / "benchmarks" / "results" / "speed" / "http.json"
KIT_FILE = "source_mp_structures_106k.parquet"
ONE_MODEL = ["cgcnn-formation-energy"]
START_TIMEOUT_S = 60.0
BATCH = 100


@dataclass(frozen=True)
class Row:
    """One measurement. Latencies in ms; `api_cpu_ms` is what the API processes and all that they started used per
    request."""

    name: str
    api_workers: int
    connections: int
    requests: int
    per_second: float
    p50: float
    p95: float
    p99: float
    api_cpu_ms: float
    client_cpu_ms: float
    statuses: dict[str, int]
    codes: dict[str, int]


@dataclass(frozen=True)
class Service:
    url: str
    port: int
    pid: int
    ready_s: float

    def api(self) -> list[psutil.Process]:
        """The API processes and all that they started: compute processes, readers."""
        children = psutil.Process(self.pid).children()
        top = [p for p in children if "uvicorn" in " ".join(p.cmdline()) or "app.cli.serve" in " ".join(p.cmdline())]
        return [*top, *(child for p in top for child in p.children(recursive=True))]


def cif_texts(data_kit: Path | None, n: int, seed: int) -> list[str]:
    """Distinct structures: of the data kit where there is one, else perovskites with random cells and displacements."""
    rng = np.random.default_rng(seed)
    if data_kit is not None and (data_kit / KIT_FILE).is_file():
        column = pq.read_table(data_kit / KIT_FILE, columns=["cif"]).column(0)
        return [column[int(i)].as_py() for i in rng.permutation(len(column))[:n]]
    return [_made_cif(rng, i) for i in range(n)]


def _made_cif(rng: np.random.Generator, number: int) -> str:
    a, b, x = rng.choice(["Ca", "Sr", "Ba", "La"]), rng.choice(["Ti", "Zr", "Mn", "Fe"]), rng.choice(["O", "F", "S"])
    sites, edge = [], rng.uniform(3.7, 4.3)
    for image in range(int(rng.integers(1, 4))):
        for symbol, place in (
            (a, (0.0, 0.0, 0.0)), (b, (0.5, 0.5, 0.5)), (x, (0.5, 0.5, 0.0)), (x, (0.5, 0.0, 0.5)), (x, (0.0, 0.5, 0.5))
        ):  # fmt: skip
            sites.append((symbol, rng.normal(place, 0.02) + np.array([0, 0, image])))
    images = len(sites) // 5
    lines = [
        f"data_made_{number}", "_symmetry_space_group_name_H-M 'P 1'", f"_cell_length_a {edge:.5f}",
        f"_cell_length_b {edge * 1.01:.5f}", f"_cell_length_c {edge * images * 1.02:.5f}", "_cell_angle_alpha 90",
        "_cell_angle_beta 90", "_cell_angle_gamma 90", "loop_", "_atom_site_label", "_atom_site_type_symbol",
        "_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z",
    ]  # fmt: skip
    lines += [
        f"{s}{i} {s} {p[0]:.5f} {p[1]:.5f} {p[2] / images:.5f}" for i, (s, p) in enumerate(sites)
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def json_request(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    return _request("/v1/predictions", "application/json", content)


def upload_request(files: Sequence[tuple[str, str]]) -> bytes:
    mark = "xtalforge-load-boundary"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        f"Content-Type: chemical/x-cif\r\n\r\n{text}\r\n"
        for name, text in files
    ]
    content = ("".join(parts) + f"--{mark}--\r\n").encode()
    return _request("/v1/predictions/upload", f"multipart/form-data; boundary={mark}", content)


def _request(path: str, media_type: str, content: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: load\r\nContent-Type: {media_type}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def single(cifs: Sequence[str], models: Sequence[str] | None) -> list[bytes]:
    chosen = {"models": list(models)} if models is not None else {}
    return [json_request({"inputs": [{"id": "x", "cif": cif}], **chosen}) for cif in cifs]


def compositions(n: int, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    symbols = ["Li", "Na", "K", "Mg", "Ca", "Sr", "Ti", "Fe", "Zr", "O", "S", "F", "Cl", "N"]
    texts = ["".join(f"{s}{rng.integers(1, 9)}" for s in rng.choice(symbols, 3, replace=False)) for _ in range(n)]
    return [json_request({"inputs": [{"composition": text}]}) for text in texts]


def mixed(cifs: Sequence[str], seed: int) -> list[bytes]:
    """In 40 requests: 16 CIFs, 12 compositions, 8 uploads of two files, 3 bad ones, 1 batch of 100."""
    rng = np.random.default_rng(seed)
    texts = iter(cifs)
    bad = [
        json_request({"inputs": [{"cif": "hello"}]}),
        json_request({"inputs": [{"composition": "Xx2O"}]}),
        json_request({"inputs": [{"composition": "NaCl"}], "models": ["nope"]}),
    ]
    formulas = iter(compositions(len(cifs), seed))
    requests: list[bytes] = []
    needed = 16 + 16 + BATCH
    for _ in range(len(cifs) // needed):
        group = single([next(texts) for _ in range(16)], None) + [next(formulas) for _ in range(12)] + bad
        group += [upload_request([("a.cif", next(texts)), ("b.cif", next(texts))]) for _ in range(8)]
        group.append(json_request({"inputs": [{"cif": next(texts)} for _ in range(BATCH)]}))
        requests += [group[i] for i in rng.permutation(len(group))]
    return requests


@contextmanager
def running(api_workers: int, folder: Path) -> Iterator[Service]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT_ROOT),
        "XTALFORGE_DATA_DIR": str(folder),
        "XTALFORGE_DEVICE": "cpu",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    command = [sys.executable, "-m", "app.cli.main", "up", "--port", str(port), "--api-workers", str(api_workers)]
    started = time.perf_counter()
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        while not _is_ready(url):
            if process.poll() is not None or time.perf_counter() - started > START_TIMEOUT_S:
                raise SystemExit(f"the service did not start:\n{(folder / 'up.log').read_text()[-3000:]}")
            time.sleep(0.02)
        yield Service(url, port, process.pid, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def measure(
    service: Service, name: str, api_workers: int, connections: int, seconds: float, requests: Sequence[bytes]
) -> Row:
    processes = service.api()
    before = [_cpu_s(process) for process in processes]
    command = [
        *(sys.executable, str(Path(__file__).parent / "http_client.py"), "127.0.0.1", str(service.port)),
        *(str(connections), str(seconds), "--once"),
    ]
    done = subprocess.run(command, input=pack(requests), stdout=subprocess.PIPE, check=True)
    cpu = sum(_cpu_s(process) - used for process, used in zip(processes, before, strict=True))
    report = json.loads(done.stdout)
    latencies = np.array(report["latencies_ms"])
    n = len(latencies)
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99])
    row = Row(
        name, api_workers, connections, n, round(n / report["wall_s"], 1), round(float(p50), 2), round(float(p95), 2),
        round(float(p99), 2), round(1000 * cpu / n, 3), round(1000 * report["cpu_s"] / n, 3), report["statuses"],
        report["codes"],
    )  # fmt: skip
    print(_line(row), flush=True)
    return row


def _cpu_s(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(used.user + used.system)


HEADER = (
    "| load | API processes | connections | requests/s | p50 ms | p95 ms | p99 ms | API CPU ms/request | answers |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def _line(row: Row) -> str:
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(row.statuses.items()))
    return (
        f"| {row.name} | {row.api_workers} | {row.connections} | {row.per_second:,.0f} | {row.p50} | {row.p95} "
        f"| {row.p99} | {row.api_cpu_ms} | {answers} |"
    )


def _memory(service: Service) -> list[dict[str, Any]]:
    """Resident and proportional megabytes of the API processes and their pools."""
    found = []
    for process in service.api():
        try:
            used = process.memory_full_info()
            command = " ".join(process.cmdline()[1:])[:60]
        except psutil.NoSuchProcess:
            continue
        found.append({"command": command, "rss_mb": round(used.rss / 1e6), "pss_mb": round(used.pss / 1e6)})
    return found


def single_process(options: argparse.Namespace, cifs: list[str]) -> tuple[list[Row], dict[str, Any]]:
    seconds = 2.0 if options.quick else options.seconds
    rows: list[Row] = []
    texts = iter(cifs)

    def fresh(rate: float) -> list[str]:
        return [text for _, text in zip(range(int(rate * seconds)), texts, strict=False)]

    with tempfile.TemporaryDirectory() as name, running(1, Path(name)) as service:
        resident = _memory(service)
        measure(service, "warm-up", 1, 4, 1.0, single(fresh(100), None))
        rows.append(measure(service, "GET /health/live", 1, 1, seconds, [_get("/health/live")] * 20_000))
        for n in (1, 16):
            rate = 700 if n == 1 else 2500
            rows += [
                measure(service, "CIF, 1 model", 1, n, seconds, single(fresh(rate), ONE_MODEL)),
                measure(service, "CIF, 3 champions", 1, n, seconds, single(fresh(rate), None)),
                measure(service, "composition", 1, n, seconds, compositions(int(4000 * seconds), n)),
            ]
        memory = _memory(service)
        return rows, {"ready_s": round(service.ready_s, 2), "memory_at_start": resident, "memory": memory}


def several_processes(options: argparse.Namespace, cifs: list[str]) -> tuple[list[Row], dict[str, Any]]:
    seconds = 3.0 if options.quick else 2 * options.seconds
    with tempfile.TemporaryDirectory() as name, running(options.api_workers, Path(name)) as service:
        # Until every process has loaded the models.
        measure(service, "warm-up", options.api_workers, 16, START_TIMEOUT_S, single(cifs[:400], None))
        load = mixed(cifs[400:], 1)
        rows = [measure(service, "mixed", options.api_workers, 16, seconds, load)]
        return rows, {"ready_s": round(service.ready_s, 2), "memory": _memory(service)}


def _command(options: argparse.Namespace) -> str:
    """What to type to repeat it, without paths of this machine."""
    kit = " --data-kit DIR" if options.data_kit else ""
    length = "--quick" if options.quick else f"--seconds {options.seconds:g}"
    return f"python benchmarks/http_load.py {length} --api-workers {options.api_workers}{kit}"


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: load\r\n\r\n".encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kit = os.environ.get("XTALFORGE_DATA_KIT")
    parser.add_argument("--data-kit", type=Path, default=Path(kit) if kit else None)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--api-workers", type=int, default=4, help="API processes under the mixed load")
    parser.add_argument("--quick", action="store_true", help="a few seconds each; the figures say little")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    n = 15_000 if options.quick else int(6_800 * options.seconds) + 200
    cifs = cif_texts(options.data_kit, n, seed=3)
    load_before = os.getloadavg()[0]
    print(HEADER)
    rows, alone = single_process(options, cifs)
    more, several = several_processes(options, cif_texts(options.data_kit, n // 2, seed=4))
    result = {
        "date": datetime.now(UTC).strftime("%F"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_before": round(load_before, 2),
        "python": platform.python_version(),
        "command": _command(options),
        "structures": "data kit" if options.data_kit else "made",
        "median_cif_bytes": int(statistics.median(len(text) for text in cifs)),
        "rows": [asdict(row) for row in rows + more],
        "one_process": alone,
        "several_processes": several,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"ready after {alone['ready_s']} s ({several['ready_s']} s with {options.api_workers} API processes)")
    for entry in alone["memory"]:
        print(f"{entry['rss_mb']} MB resident ({entry['pss_mb']} MB proportional): {entry['command']}")


if __name__ == "__main__":
    main()
