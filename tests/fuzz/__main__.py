"""`python -m tests.fuzz TARGET --inputs N --seed S`: what strangers may send is read or refused, never more.

`composition`, `cif`, `csv`, `jsonl`, `parquet`, `zip`: that reader in this process. `readers`: structures through the
processes of the service. `guided TARGET`: coverage-guided (atheris). `http`: every route of a running service
(schemathesis). A run that was broken off goes on where it stopped; `input TARGET SEED NUMBER` writes one out.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from app.core.settings import PROJECT_ROOT
from tests.fuzz.campaign import BATCH, PHASES, Batch, run_batch
from tests.fuzz.report import write_report
from tests.fuzz.seeds import SEEDS, Corpus
from tests.fuzz.targets import TARGETS

RESULTS = PROJECT_ROOT / "benchmarks" / "results" / "fuzz"


def main() -> int:
    """Exit code 1 for findings."""
    arguments = _arguments()
    results: Path = arguments.results
    results.mkdir(parents=True, exist_ok=True)
    if arguments.target == "report":
        write_report(results)
        return 0
    if arguments.target == "http":
        return _http(arguments, results)
    log = results / "runs.jsonl"
    first = _next_number(log, arguments.target, arguments.seed)
    with _batches(arguments.target, arguments.seed, arguments.findings) as run:
        n_findings = 0
        while first < arguments.inputs:
            batch = run(range(first, min(first + BATCH, arguments.inputs)))
            with log.open("a") as file:
                file.write(batch.line() + "\n")
            first += batch.n
            n_findings += len(batch.findings)
            print(f"{batch.target}: {first:,} inputs, {batch.n / max(batch.seconds, 1e-9):,.0f} a second, "
                  f"slowest {batch.slowest_s:.3f} s, {batch.rss_mb:.0f} MB", flush=True)  # fmt: skip
            for found in batch.findings:
                print("  finding:", found["input"], found["error"], flush=True)
    write_report(results)
    return 1 if n_findings else 0


def _http(arguments: argparse.Namespace, results: Path) -> int:
    from tests.fuzz.http import run

    account = run(arguments.inputs, arguments.seed, with_key=arguments.with_key, phases=arguments.phases)
    with (results / "http.jsonl").open("a") as file:
        file.write(json.dumps(account) + "\n")
    write_report(results)
    return 1 if account["failures"] or account["errors"] or account["logged_errors"] else 0


@contextmanager
def _batches(target: str, seed: int, findings: Path) -> Iterator[Callable[[range], Batch]]:
    if target != "readers":
        corpus = Corpus(target, seed)
        yield lambda numbers: run_batch(target, TARGETS[target], corpus, seed, numbers, findings)
        return
    from tests.fuzz.reader_processes import reader_pool, run_reader_batch

    with reader_pool() as pool:
        yield partial(run_reader_batch, pool, Corpus("cif", seed), seed, folder=findings)


def _next_number(log: Path, target: str, seed: int) -> int:
    if not log.is_file():
        return 0
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return max((r["first"] + r["n"] for r in records if (r["target"], r["seed"]) == (target, seed)), default=0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*SEEDS, "readers", "http", "report"])
    parser.add_argument(
        "--inputs", type=int, default=100_000, help="how many in all, with this seed; http: for each call"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--with-key", action="store_true", help="http: of a service that asks for keys")
    parser.add_argument("--phases", default=PHASES, help="http: those of schemathesis")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the records and the report")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="where inputs are kept")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
