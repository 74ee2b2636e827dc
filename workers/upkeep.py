"""`xtalforge gc` by itself: one worker of all takes the turn, in a process beside its jobs."""

import json
import os
import subprocess
import sys
import threading
import time

import redis

from app.core.logging import get_logger
from app.core.settings import Settings

LOOK_EVERY_S = 600.0
"""How often a worker looks whether a round is due; the first time this long after its start."""

LONGEST_ROUND_S = 6 * 3600.0
TURN_KEY = "xtalforge:upkeep"
BROKER_TIMEOUT_S = 5.0

log = get_logger(__name__)


class Upkeep:
    """A daemon thread. The broker tells who takes the turn and remembers it over restarts; without it nobody does."""

    def __init__(self, settings: Settings, worker_id: str) -> None:
        self._every_s = settings.upkeep.every_hours * 3600
        self._worker_id = worker_id
        self._redis = redis.Redis.from_url(
            settings.resolved_broker_url, socket_timeout=BROKER_TIMEOUT_S, socket_connect_timeout=BROKER_TIMEOUT_S
        )

    def start(self) -> None:
        if self._every_s:
            threading.Thread(target=self._loop, name="upkeep", daemon=True).start()

    def takes_turn(self) -> bool:
        """Whether a round is due and no other worker has begun it."""
        try:
            return bool(self._redis.set(TURN_KEY, self._worker_id, nx=True, px=max(1, int(self._every_s * 1000))))
        except redis.RedisError as error:
            log.warning("upkeep waits for the broker", reason=str(error))
            return False

    def run_round(self) -> None:
        """A process of its own: it shares neither the memory nor the locks of one that forks."""
        # Bound to the life of the worker, as the services of `xtalforge up` are to theirs.
        launcher = ["nice", "-n", "10", sys.executable, "-m", "app.cli.launcher", str(os.getpid())]
        command = [*launcher, sys.executable, "-m", "app.cli.main", "gc", "--json"]
        try:
            done = subprocess.run(  # noqa: S603 - nothing in it comes from outside
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST_ROUND_S, check=True
            )
            cleared = json.loads(done.stdout)
        except subprocess.CalledProcessError as error:
            log.error("upkeep failed", exit_code=error.returncode, reason=error.stderr[-2000:])
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            log.error("upkeep failed", reason=str(error))
        else:
            log.info("upkeep done", **{k: len(v) if isinstance(v, list) else v for k, v in cleared.items()})

    def _loop(self) -> None:
        while True:
            time.sleep(min(LOOK_EVERY_S, self._every_s))
            if self.takes_turn():
                self.run_round()
