"""Which rows the members of a stack take in which step, decided on the host before an epoch starts.

Dimensions: S steps of the longest epoch, K members, B rows of a step at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EpochRows:
    """rows (S, K, B), -1 for none; targets (S, K, B) on the learned scale; n_active (S,) members that have a step.

    Members with more steps must come first, so that the active ones are always the first `n_active`.
    """

    rows: IntArray
    targets: FloatArray
    n_active: IntArray

    @classmethod
    def of(
        cls, seeds: Sequence[int], epochs: Sequence[int], n_steps: Sequence[int], targets: Sequence[FloatArray]
    ) -> "EpochRows":
        """Each member's own next epoch, in the order a single run would take; rows count from each member's first."""
        sizes = [len(t) for t in targets]
        width = max(-(-size // steps) for size, steps in zip(sizes, n_steps, strict=True))
        rows = np.full((max(n_steps), len(seeds), width), -1, dtype=np.int64)
        chosen = np.zeros(rows.shape, dtype=np.float32)
        for member, (seed, epoch, steps) in enumerate(zip(seeds, epochs, n_steps, strict=True)):
            order = np.random.default_rng([seed, epoch]).permutation(sizes[member])
            for step, part in enumerate(np.array_split(order, steps)):
                rows[step, member, : len(part)] = np.sort(part)
                chosen[step, member, : len(part)] = targets[member][rows[step, member, : len(part)]]
        return cls(rows, chosen, (np.array(n_steps) > np.arange(max(n_steps))[:, None]).sum(1))

    def runs(self) -> list[tuple[int, IntArray]]:
        """Steps in order, cut where the number of active members changes, with that number."""
        cuts = np.flatnonzero(np.diff(self.n_active)) + 1
        return [(int(self.n_active[part[0]]), part) for part in np.split(np.arange(len(self.n_active)), cuts)]
