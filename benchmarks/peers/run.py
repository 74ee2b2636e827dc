"""Speed and memory beside the packages one would use instead: `python -m benchmarks.peers.run` (or `make bench`).

Contenders run in processes of their own, in turns, in one run; what a peer lacks is said in its rows. After each group
of rows the part's JSON file is written again, so a run that is stopped leaves what it had.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Row, machine
from benchmarks.peers.bench import QUICK, Bench, Sizes
from benchmarks.peers.environment import peer_python, state
from benchmarks.peers.inputs import Inputs, prepare
from benchmarks.peers.parts import PARTS

RESULTS = ROOT / "benchmarks" / "results" / "speed"
HTTP = "benchmarks/http_load.py"


def main() -> None:
    options = _options()
    sizes = QUICK if options.quick else Sizes()
    kit = Path(options.data_kit) if options.data_kit else None
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.only or [*PARTS, "http"]:
        started = time.monotonic()
        if name == "http":
            _http(options)
        else:
            inputs = prepare(options.cache, sizes.train, sizes.predict, kit, sizes.largest_cell)
            _run_part(name, options, sizes, inputs)
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    _report(options.output)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*PARTS, "http"], help="parts to run; all without it")
    parser.add_argument("--quick", action="store_true", help="a few structures, to see that everything runs")
    parser.add_argument("--no-peers", action="store_true", help="only this package")
    parser.add_argument("--data-kit", default=os.environ.get("XTALFORGE_DATA_KIT", ""), help="folder of the data sets")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench-cache", help="where the inputs are kept")
    return parser.parse_args()


def _run_part(name: str, options: argparse.Namespace, sizes: Sizes, inputs: Inputs) -> None:
    path = options.output / f"{name}.json"
    rows: list[Row] = []
    head: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": _command(),
        "machine": machine(),
        "python": platform.python_version(),
        "inputs": inputs.about,
    }
    with Bench(
        inputs, sizes, Path(sys.executable), options.cache.resolve() / "weights.npz", not options.no_peers
    ) as bench:
        for group in PARTS[name](bench):
            rows += group
            for row in group:
                print(_line(row), flush=True)
            body = head | {"packages": bench.packages, "numpy": version("numpy"), "rows": [r.to_json() for r in rows]}
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(body, indent=1) + "\n")
            os.replace(partial, path)


def _command() -> str:
    """As typed, without the paths of this machine."""
    paths = {"--data-kit", "--output", "--cache"}
    words = [word for i, word in enumerate(sys.argv[1:], 1) if not paths & {word, sys.argv[i - 1]}]
    return " ".join(["python -m benchmarks.peers.run", *words])


def _line(row: Row) -> str:
    spread = row.spread
    said = row.why_missing or "see the report"
    if spread is not None:
        said = f"{spread.median:.4g} {row.unit} ({spread.low:.4g} to {spread.high:.4g})"
    at = "" if row.x is None else f" [{row.x:g}]"
    return f"  {row.case}{at} | {row.contender}, {row.processes} x {row.threads}: {said}"


def _http(options: argparse.Namespace) -> None:
    """The service under load has a benchmark of its own, with its own result file."""
    output = options.output.resolve()
    # Its result file repeats the command: paths of this machine are kept out of it.
    output = output.relative_to(ROOT) if output.is_relative_to(ROOT) else output
    command = [sys.executable, HTTP, "--output", str(output / "http.json"), *(["--quick"] if options.quick else [])]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"XTALFORGE_DATA_KIT": options.data_kit}, check=False)
    if done.returncode != 0:
        print(f"http: not measured (http_load.py ended with {done.returncode})")


def _report(folder: Path) -> None:
    """Tables always; plots by the peers' environment, the only one with matplotlib."""
    plots = peer_python().exists() and not state().get("plots", {"error": "absent"})["error"]
    python = str(peer_python()) if plots else sys.executable
    subprocess.run(
        [python, "-m", "benchmarks.report", str(folder), *(["--plots"] if plots else [])], cwd=ROOT, check=True
    )


if __name__ == "__main__":
    main()
