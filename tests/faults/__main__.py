"""`python -m tests.faults --seed N --faults 500 --stack sqlite|postgres`: nothing is lost, whatever dies."""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from app.core.settings import PROJECT_ROOT
from tests.faults.campaign import FAULTS_PER_ROUND, Campaign, read_records
from tests.faults.faults import FAULTS
from tests.faults.report import write_report
from tests.faults.stack import Stack

RESULTS = PROJECT_ROOT / "benchmarks" / "results" / "faults"


def main() -> int:
    """Exit code 1 when a promise was broken."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing it started stays behind
    arguments.results.mkdir(parents=True, exist_ok=True)
    log = arguments.results / f"{arguments.stack}.jsonl"
    if arguments.fresh:
        log.unlink(missing_ok=True)
    records = read_records(log)
    n_done = sum(len(record["faults"]) for record in records)
    folder = Path(tempfile.mkdtemp(prefix="xtalforge-faults-"))
    stack = Stack(arguments.stack, folder / "stack")
    try:
        chosen = [fault for fault in FAULTS if arguments.only in fault.name]
        campaign = Campaign(stack, arguments.seed, chosen)
        campaign.prepare()
        while n_done < arguments.faults:
            record = campaign.run_round(len(records), min(FAULTS_PER_ROUND, arguments.faults - n_done))
            with log.open("a") as file:
                file.write(record.line() + "\n")
            records = read_records(log)
            n_done += len(record.faults)
            print(f"round {record.number}: {len(record.faults)} faults ({n_done} of {arguments.faults}), "
                  f"jobs {record.jobs}, {record.seconds:.0f} s", *record.broken, sep="\n  ", flush=True)  # fmt: skip
            write_report(arguments.results)
    finally:
        stack.close()
    is_whole = not any(record["broken"] for record in records)
    if is_whole or not arguments.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if is_whole else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=int, default=500, help="how many in all; a run that was broken off goes on")
    parser.add_argument("--stack", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--only", default="", help="faults whose name holds this text, such as API")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the report and its records")
    parser.add_argument("--fresh", action="store_true", help="forget the rounds that were run before")
    parser.add_argument("--keep", action="store_true", help="keep logs and database when something is broken")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
