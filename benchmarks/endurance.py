"""The service under load for long, with kills in between: nothing lost, no answer but those promised, flat memory.

    python -m benchmarks.endurance --minutes 30 --share 0.8 [--database postgres|sqlite] [--seed 1]

Starts `xtalforge up` with several API processes, its worker and broker, on a PostgreSQL server or on its own SQLite
file. Measures what the mix of requests allows beside jobs that always run (in closed loop, with as many kills a minute
as later, and from there the highest rate in open loop at which answers come in time), then sends `share` of that in
open loop while processes are killed and stopped at times that the seed sets.
Users are `xtalforge_client`'s transport.
Writes benchmarks/results/endurance/NAME.json, .md and .png; the exit code is 1 when a promise was broken.
"""

import argparse
import asyncio
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.endurance_capacity import STEPS, capacity
from benchmarks.endurance_checks import broken_jobs, broken_promises
from benchmarks.endurance_client import MAX_OPEN, Users
from benchmarks.endurance_kills import KINDS, Killer, plan
from benchmarks.endurance_memory import Sampler
from benchmarks.endurance_mix import JOB_WEIGHTS, WEIGHTS, Mix
from benchmarks.endurance_report import figures, write
from benchmarks.endurance_stack import DATABASES, Stack, errors_in, running
from benchmarks.harness import ROOT, machine
from benchmarks.http_load import cif_texts

RESULTS = ROOT / "benchmarks" / "results" / "endurance"
N_CIFS = 20_000
WARM_UP_S = 15.0
FREEZE_BEYOND_LEASE = 1.25
JOB_SHARE = 0.75
"""Of the share: kills keep the worker from working for a sixth of the time, and queues must not grow for ever."""


@dataclass(frozen=True)
class Plan:
    """One run. Times in seconds."""

    seconds: float
    share: float
    seed: int
    n_kills: int
    database: str = "postgres"
    api_workers: int = 2
    capacity_s: float = 120.0
    step_s: float = 60.0
    steps: tuple[float, ...] = STEPS
    lease_s: float = 60.0
    drain_s: float = 900.0
    memory_warm_up_s: float = 120.0
    warm_up_s: float = WARM_UP_S
    kills: tuple[str, ...] = tuple(KINDS)
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    job_weights: Mapping[str, float] = field(default_factory=lambda: JOB_WEIGHTS)
    models_store: Path = ROOT / "models_store"


def run(plan_: Plan, cifs: list[str], folder: Path, port: int) -> dict[str, Any]:
    """Everything that was measured, and `broken`. `folder` is empty and keeps data and logs."""
    settings = {
        "XTALFORGE_JOBS__LEASE_S": f"{plan_.lease_s:g}", "XTALFORGE_JOBS__HEARTBEAT_S": f"{plan_.lease_s / 4:g}",
        "XTALFORGE_JOBS__REAPER_INTERVAL_S": f"{plan_.lease_s / 4:g}",
        "XTALFORGE_MODELS_STORE": str(plan_.models_store),
    }  # fmt: skip
    mix = Mix(plan_.seed, cifs, weights=plan_.weights, job_weights=plan_.job_weights)
    with running(folder, port, plan_.api_workers, plan_.database, settings) as stack:
        users = Users(stack.url, mix)
        result = uvloop.run(_use(plan_, stack, users))
        errors, plain = errors_in(stack.log)
        kills = result.pop("kills")
        broken = broken_promises(users.records, users.jobs, kills)
        if result.pop("fell_behind"):
            broken.append(f"the service fell behind: {MAX_OPEN:,} calls were open, and the run ended early")
        broken += [f"nothing was done to any {kind}" for kind in sorted(result.pop("never_done"))]
        # Reapers clear away the folders of ended jobs.
        time.sleep(plan_.lease_s / 2)
        broken += broken_jobs(stack, users.jobs, kills, plan_.models_store)
    return {**result, "broken": broken, "logged_errors": errors, "plain_lines": plain}


async def _use(plan_: Plan, stack: Stack, users: Users) -> dict[str, Any]:
    await users.prepare()
    _say(f"ready at {stack.url}; warming up")
    await users.closed(plan_.warm_up_s, 4)
    freeze_s = plan_.lease_s * FREEZE_BEYOND_LEASE
    n_kills = round(plan_.n_kills * plan_.capacity_s / plan_.seconds)
    planned = plan(plan_.seed + 1, plan_.capacity_s, n_kills, plan_.kills)
    early = Killer(stack, planned, freeze_s, users.job_maker())
    found = await capacity(users, early, plan_.capacity_s, plan_.step_s, plan_.steps, plan_.seed)
    _say(f"capacity: {found}")
    sampler = Sampler(stack)
    planned = plan(plan_.seed, plan_.seconds, plan_.n_kills, plan_.kills)
    killer = Killer(stack, planned, freeze_s, users.job_maker())
    begun, cpu_before = time.monotonic(), time.process_time()
    sampler.start()
    killer.start()
    progress = asyncio.create_task(_tell(users, killer, begun))
    per_s = plan_.share * found["requests_per_s"]
    jobs_per_s = plan_.share * JOB_SHARE * found["jobs_per_minute"] / 60
    try:
        fell_behind = not await users.open(plan_.seconds, per_s, jobs_per_s, plan_.seed)
        await asyncio.to_thread(killer.stop)
        await asyncio.to_thread(sampler.stop)
        own_cpu = (time.process_time() - cpu_before) / (time.monotonic() - begun)
        _say("all sent; waiting for what is open")
        await users.drain(plan_.drain_s)
    finally:
        progress.cancel()
        await asyncio.to_thread(killer.stop)
    measured = figures(
        users.records, users.jobs, killer.done, sampler.lives, begun, plan_.seconds, plan_.memory_warm_up_s
    )
    measured["generator_cores"] = round(own_cpu, 3)
    return {
        "capacity": found, "measured": measured, "kills": [*early.done, *killer.done],
        "never_done": killer.never_done(), "fell_behind": fell_behind,
    }  # fmt: skip


async def _tell(users: Users, killer: Killer, begun: float) -> None:
    while True:
        await asyncio.sleep(60)
        n_open = sum(not job.finished for job in users.jobs if job.job_id)
        n_wrong = sum(bool(record.wrong) for record in users.records)
        _say(f"{time.monotonic() - begun:.0f} s: {len(users.records):,} answers ({n_wrong} wrong), {len(users.jobs)} "
             f"jobs ({n_open} open), {len(killer.done)} kills")  # fmt: skip


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing it started stays behind
    options = _options()
    seconds = 60 * options.minutes
    n_kills = options.kills if options.kills is not None else max(len(KINDS), round(0.8 * options.minutes))
    plan_ = Plan(
        seconds, options.share, options.seed, n_kills, options.database, options.api_workers, options.capacity_s,
        lease_s=options.lease_s, memory_warm_up_s=min(120.0, seconds / 6),
    )  # fmt: skip
    about = {
        "date": datetime.now(UTC).strftime("%F %H:%M UTC"),
        "command": shlex.join(["python", "-m", "benchmarks.endurance", *_without_paths(sys.argv[1:])]),
        "commit": _commit(), "machine": machine(), "seed": options.seed, "minutes": options.minutes,
        "share": options.share, "api_workers": options.api_workers, "lease_s": options.lease_s,
        "database": {"postgres": "PostgreSQL", "sqlite": "SQLite"}[options.database],
        "structures": "structures of the Materials Project" if options.data_kit else "made structures",
        "warm_up_s": plan_.memory_warm_up_s,
    }  # fmt: skip
    cifs = cif_texts(options.data_kit, N_CIFS, options.seed)
    folder = Path(tempfile.mkdtemp(prefix="xtalforge-endurance-", dir=options.folder))
    result = {**about, **run(plan_, cifs, folder, options.port or _free_port())}
    write(options.results, options.name or options.database, result)
    for text in result["broken"]:
        print(f"BROKEN {text}")
    if options.keep or result["broken"]:
        print(f"data and logs: {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if result["broken"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kit = os.environ.get("XTALFORGE_DATA_KIT")
    parser.add_argument("--minutes", type=float, default=30.0, help="of the open loop")
    parser.add_argument("--share", type=float, default=0.8, help="of the capacity that is measured first")
    parser.add_argument("--database", choices=DATABASES, default="postgres")
    parser.add_argument("--api-workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1, help="of requests, jobs and kills")
    parser.add_argument("--kills", type=int, help="how many; 0.8 a minute, and one of each kind at least, by default")
    parser.add_argument("--lease-s", type=float, default=60.0, help="lease of jobs; 60 is the service's default")
    parser.add_argument("--capacity-s", type=float, default=120.0, help="length of the closed loop")
    parser.add_argument("--data-kit", type=Path, default=Path(kit) if kit else None)
    parser.add_argument("--port", type=int, help="of the API; a free one by default")
    parser.add_argument("--folder", type=Path, help="where data and logs lie while it runs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--name", help="of the result's files; the database's by default")
    parser.add_argument("--keep", action="store_true", help="keep data and logs also when nothing is broken")
    return parser.parse_args()


def _without_paths(arguments: list[str]) -> list[str]:
    """Options without those that only say where files of this machine are."""
    where = ("--data-kit", "--folder", "--results", "--port")
    pairs = zip(["", *arguments], arguments, strict=False)
    return [each for before, each in pairs if before not in where and not each.startswith(where)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
