"""Random but physical crystals for property-based tests."""

import numpy as np
from hypothesis import strategies as st

from app.structures.crystal import Crystal


@st.composite
def crystals(draw: st.DrawFn, max_sites: int = 6) -> Crystal:
    """Sheared cells of 1 to `max_sites` atoms on a jittered grid, no two atoms close, a few elements."""
    n = draw(st.integers(1, max_sites))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    lattice = np.diag(random.uniform(3.0, 6.0, 3)) + random.uniform(-0.8, 0.8, (3, 3))
    grid = np.array(np.meshgrid(*[[0.0, 0.5]] * 3)).reshape(3, -1).T
    fractional = grid[random.permutation(8)[:n]] + random.uniform(-0.08, 0.08, (n, 3))
    return Crystal(lattice, fractional, random.choice([3, 8, 13, 22, 26, 56], n))
