"""What a structure may cost: every bound is checked before the work it bounds."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class StructureLimits:
    """Bounds on untrusted structures. Lengths in Å, volumes in Å³.

    `max_bytes` counts one text, `max_blocks` the data blocks of one CIF. `max_sites` holds after symmetry was applied,
    `max_images` (listed sites x symmetry operations) before, for one structure, and `max_images_of_text` for all
    structures of one CIF. `max_skew` is how much larger than the cell the upright box around it may be, which is what
    a search for neighbours divides into cubes, `min_height` the shortest distance between opposite faces, on which the
    number of images in reach depends. `min_distance` is how near two atoms may come, `min_period` the
    shortest lattice translation.
    """

    max_bytes: int = 5_000_000
    max_blocks: int = 1_000
    max_sites: int = 2_000
    max_images: int = 100_000
    max_images_of_text: int = 500_000
    max_operations: int = 1_000
    min_volume_per_atom: float = 2.0
    min_period: float = 1.0
    max_cell_length: float = 500.0
    max_skew: float = inf
    min_height: float = 0.0
    min_distance: float = 0.5


DEFAULT_LIMITS = StructureLimits()
