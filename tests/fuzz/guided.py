"""`python -m tests.fuzz.guided TARGET --inputs N --seed S`: inputs that reach new code are bred further (atheris).

Ends at the first finding, which it prints and keeps as libFuzzer does (`crash-...`, `timeout-...`).
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.seeds import SEEDS

HANG_S = 5
_INSTRUMENTED = [
    "app.structures", "app.datasets.archive", "app.datasets.columns", "app.datasets.readers", "app.datasets.records",
    "app.datasets.validation", "app.bulk.inputs", "app.bulk.archives", "app.bulk.reading", "app.predictions.uploads",
]  # fmt: skip
_MAX_BYTES = 20_000


def breed(target: str, inputs: int, seed: int, folder: Path) -> None:
    """In a process of its own, which libFuzzer ends. `folder` keeps what reached new code."""
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED):
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.mutations import mutated

    seeds = SEEDS[target]()
    for number, content in enumerate(seeds):
        if len(content) <= _MAX_BYTES:
            (folder / f"seed-{number}").write_bytes(content)

    def mutate(data: bytes, max_size: int, chance: int) -> bytes:
        rng = Random(chance)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        return mutated(data, rng, seeds)[:max_size]

    options = [
        f"-runs={inputs}", f"-seed={seed + 1}", f"-timeout={HANG_S}", f"-max_len={_MAX_BYTES}", "-rss_limit_mb=3000",
        "-print_final_stats=1", "-verbosity=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(folder)], TARGETS[target], custom_mutator=mutate)
    atheris.Fuzz()


def run(target: str, inputs: int, seed: int) -> dict[str, Any]:
    """What libFuzzer says of a run: inputs, code reached at the start and at the end, the slowest, memory."""
    with tempfile.TemporaryDirectory(prefix="xtalforge-fuzz-") as folder:
        command = [sys.executable, "-m", "tests.fuzz.guided", target, "--inputs", str(inputs), "--seed", str(seed)]
        done = subprocess.run([*command, "--corpus", folder], capture_output=True, text=True, check=False)
    print(done.stdout[-2000:], done.stderr[-4000:], sep="\n", flush=True)
    coverage = [int(found) for found in re.findall(r"cov: (\d+)", done.stderr)]
    return {
        "target": target,
        "seed": seed,
        "inputs": _stat(done.stderr, "number_of_executed_units"),
        "peak_rss_mb": _stat(done.stderr, "peak_rss_mb"),
        "slowest_s": _stat(done.stderr, "slowest_unit_time_sec"),
        "coverage": [coverage[0], coverage[-1]] if coverage else [],
        "finding": "" if done.returncode == 0 else (done.stdout + done.stderr)[-1500:],
    }


def _stat(text: str, name: str) -> int:
    found = re.search(rf"stat::{name}:\s+(\d+)", text)
    return int(found[1]) if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("target", choices=list(SEEDS))
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="folder of the record")
    parser.add_argument("--corpus", type=Path, help="breed here and now, in this process")
    arguments = parser.parse_args()
    if arguments.corpus is not None:
        breed(arguments.target, arguments.inputs, arguments.seed, arguments.corpus)
        return
    record = run(arguments.target, arguments.inputs, arguments.seed)
    if arguments.results is not None:
        with (arguments.results / "guided.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
    sys.exit(1 if record["finding"] else 0)


if __name__ == "__main__":
    main()
