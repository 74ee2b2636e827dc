"""What one worker has leased of a job's input, and the process that works on it is told to do."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy.orm import Session

from app.bulk.grants import GRANTS_FILE, Grant, write_grant
from app.bulk.repository import BulkPartRepository
from app.core.db import open_session
from app.core.errors import BrokerUnavailable
from app.core.logging import get_logger
from app.jobs.errors import LeaseLost
from app.jobs.kinds import JobKind
from app.jobs.shards import InputSize, Shard, ShardRepository
from workers.lease import Lease

AHEAD_S = 3.0
"""So much work is leased at a time: enough that no process waits for the next, little enough for an even end."""

FIRST_PER_PROCESS = 4
RATE_AFTER_S = 1.0
"""The rate is known so long after the first chunks were done; until then so many are leased for each process."""

POLL_S = 0.5

log = get_logger(__name__)


class Shares:
    """Claims shards as they are needed; one that is recorded to its end is closed in the same transaction."""

    def __init__(self, lease: Lease, kind: JobKind, folder: Path, n_processes: int, *, is_long: bool) -> None:
        """`is_long`: help is known to be of use from the start."""
        self._lease = lease
        self._worker = lease.worker
        self._kind = kind
        self._folder = folder
        self._n_processes = n_processes
        self._left: dict[int, set[int]] = {}
        self._left_once_recorded: dict[int, set[int]] | None = None
        # Else what is claimed a second time tells that there is more than this worker had at once.
        self._n_claims_alone = 0 if is_long or not lease.is_leader else 1
        self._began_at: float | None = None
        self._n_since = 0
        self._claims_again_at = 0.0
        self._has_ended = False
        (folder / GRANTS_FILE).touch()

    def claim_ahead(self, fetch: Callable[[Collection[int]], None]) -> bool:
        """Claim what the process will need next; False when nothing of the job is left to be done here.

        `fetch` is called with chunks that others have done before the process may take them for done.
        """
        n_left = sum(map(len, self._left.values()))
        wanted = self._wanted()
        if self._has_ended or n_left > wanted // 2 or time.monotonic() < self._claims_again_at:
            return True
        if self._lease.may_claim and self._claim(wanted - n_left, fetch):
            return True
        self._claims_again_at = time.monotonic() + POLL_S
        return bool(self._left) or (self._lease.may_claim and self._lease.is_leader and not self.is_complete())

    def end(self) -> None:
        """Tell the process that no more will come."""
        if not self._has_ended:
            write_grant(self._folder, Grant(is_end=True))
            self._has_ended = True

    def is_complete(self) -> bool:
        with open_session(self._worker.factory, read_only=True) as session:
            return ShardRepository(session).is_complete(self._lease.job_id)

    def renew(self, session: Session) -> None:
        lease_s = self._worker.settings.jobs.lease_s
        if ShardRepository(session).renew(self._lease.job_id, self._lease.token, lease_s) != len(self._left):
            raise LeaseLost(self._lease.job_id)

    def record(self, session: Session, numbers: Sequence[int], size: InputSize | None) -> None:
        """These chunks are recorded in the caller's transaction, and that is the size of the input if it is known now.

        The job's row is locked. Raises LeaseLost when somebody else may be at work on them.
        """
        shards, left = ShardRepository(session), {first: set(rest) for first, rest in self._left.items()}
        shards.require(self._lease.job_id, self._lease.token, len(left))
        if size is not None:
            shards.set_size(self._lease.job_id, size)
        for first, rest in left.items():
            left[first] = {n for n in rest if n not in numbers and (size is None or n < size.n_chunks)}
        closed = [first for first, rest in left.items() if not rest]
        shards.close(self._lease.job_id, self._lease.token, closed)
        self._left_once_recorded = {first: rest for first, rest in left.items() if rest}

    def recorded(self, n_chunks: int) -> None:
        """What `record` wrote is committed."""
        if self._left_once_recorded is not None:
            self._left, self._left_once_recorded = self._left_once_recorded, None
        if self._began_at is not None:
            self._n_since += n_chunks
        elif n_chunks:
            self._began_at = time.monotonic()

    def give_back(self) -> None:
        with open_session(self._worker.factory) as session:
            ShardRepository(session).free(self._lease.job_id, self._lease.token)

    def _wanted(self) -> int:
        """Chunks that the process should have before it."""
        elapsed_s = time.monotonic() - self._began_at if self._began_at is not None else 0.0
        if elapsed_s < RATE_AFTER_S:
            return FIRST_PER_PROCESS * self._n_processes
        return max(self._n_processes + 1, math.ceil(AHEAD_S * self._n_since / elapsed_s))

    def _claim(self, n: int, fetch: Callable[[Collection[int]], None]) -> bool:
        lease, lease_s = self._lease, self._worker.settings.jobs.lease_s
        with open_session(self._worker.factory) as session:
            lease.hold(session)
            shards = ShardRepository(session)
            shard = shards.claim(lease.job_id, lease.token, self._worker.worker_id, n, lease_s)
            if shard is None:
                return False
            done = BulkPartRepository(session).numbers(lease.job_id, shard.first, shard.n)
            left = set(range(shard.first, shard.first + shard.n)) - done
            if not left:
                shards.close(lease.job_id, lease.token, [shard.first])
        if left:
            self._left[shard.first] = left
        fetch(done)
        write_grant(self._folder, Grant(first=shard.first, n=shard.n, done=tuple(sorted(done))))
        if self._n_claims_alone == 0:
            self._call_for_help(shard)
        self._n_claims_alone -= 1
        return True

    def _call_for_help(self, shard: Shard) -> None:
        """Wake one more worker, which wakes the next; where that fails the reaper does."""
        with suppress(BrokerUnavailable):
            self._worker.queue.send(self._lease.job_id, self._kind.queue)
            log.info("called for help", from_chunk=shard.first)
