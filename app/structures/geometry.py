"""Cells: parameters to vectors, heights, and reduction of skewed cells."""

from functools import lru_cache
from math import cos, isfinite, radians, sin, sqrt

import numpy as np

from app.core.errors import UnphysicalStructure
from app.structures.crystal import FloatArray

REDUCTION_STEPS = 200


def lattice_from_parameters(lengths: tuple[float, float, float], angles: tuple[float, float, float]) -> FloatArray:
    """Cell vectors (3, 3) in Å, a along x and b in the xy plane, from lengths in Å and angles in degrees.

    Raises UnphysicalStructure for lengths that are not positive and angles that close no cell.
    """
    for name, length in zip("abc", lengths, strict=True):
        if not isfinite(length) or length <= 0:
            raise UnphysicalStructure(f"The cell length {name} is {length:g} Å; it must be a positive number.")
    for name, angle in zip(("alpha", "beta", "gamma"), angles, strict=True):
        if not isfinite(angle) or not 0 < angle < 180:
            raise UnphysicalStructure(f"The cell angle {name} is {angle:g}°; it must lie between 0° and 180°.")
    cos_alpha, cos_beta, cos_gamma = (_cosine(angle) for angle in angles)
    sin_gamma = sin(radians(angles[2]))
    across = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    height_squared = 1 - cos_beta**2 - across**2
    if height_squared <= 1e-8:
        raise UnphysicalStructure(
            "The cell angles {:g}°, {:g}° and {:g}° close no cell: its volume would be zero.".format(*angles)
        )
    a, b, c = lengths
    return np.array(
        [
            [a, 0.0, 0.0],
            [b * cos_gamma, b * sin_gamma, 0.0],
            [c * cos_beta, c * across, c * sqrt(height_squared)],
        ]
    )


def _cosine(angle: float) -> float:
    """Cosine of an angle in degrees, exactly zero for a right angle."""
    return 0.0 if angle == 90.0 else cos(radians(angle))


def cell_volume(lattice: FloatArray) -> float:
    """Volume of the cell (3, 3) in Å³, in plain arithmetic."""
    a, b, c = lattice.tolist()
    return abs(_dot(a, _cross(b, c)))


def box_volume(lattice: FloatArray) -> float:
    """Volume of the smallest box along x, y and z that holds the cell (3, 3), Å³."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = lattice.tolist()
    return float((abs(ax) + abs(bx) + abs(cx)) * (abs(ay) + abs(by) + abs(cy)) * (abs(az) + abs(bz) + abs(cz)))


def cell_heights(lattice: FloatArray) -> tuple[float, float, float]:
    """Distances between opposite faces of the cell (3, 3), Å; zeros for a flat one."""
    return _cell_heights(lattice.astype(np.float64, copy=False).tobytes())


@lru_cache(maxsize=64)
def _cell_heights(lattice_bytes: bytes) -> tuple[float, float, float]:
    """Several checks of one structure ask in turn. Plain arithmetic: faster than arrays on nine numbers."""
    a, b, c = np.frombuffer(lattice_bytes).reshape(3, 3).tolist()
    faces = (_cross(b, c), _cross(c, a), _cross(a, b))
    volume = abs(_dot(a, faces[0]))
    areas = [sqrt(_dot(face, face)) for face in faces]
    h_a, h_b, h_c = (volume / area if area > 0 else 0.0 for area in areas)
    return h_a, h_b, h_c


def _cross(u: list[float], v: list[float]) -> list[float]:
    return [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]


def _dot(u: list[float], v: list[float]) -> float:
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


def reduced_lattice(lattice: FloatArray) -> FloatArray:
    """Another cell of the same lattice, with short vectors, (3, 3), Å: no pair of them can be shortened further.

    The first row is (nearly always) the shortest lattice translation.
    """
    vectors = lattice.copy()
    for _ in range(REDUCTION_STEPS):
        order = np.argsort((vectors**2).sum(axis=1), kind="stable")
        vectors = vectors[order]
        longest = vectors[2] - _nearest_combination(vectors[:2], vectors[2])
        middle = vectors[1] - np.round(vectors[1] @ vectors[0] / (vectors[0] @ vectors[0])) * vectors[0]
        if middle @ middle < (vectors[1] @ vectors[1]) * (1 - 1e-9):
            vectors[1] = middle
        elif longest @ longest < (vectors[2] @ vectors[2]) * (1 - 1e-9):
            vectors[2] = longest
        else:
            break
    return vectors


def _nearest_combination(plane: FloatArray, target: FloatArray) -> FloatArray:
    """The integer combination of two vectors (2, 3) nearest to `target` (3,)."""
    coefficients = np.linalg.lstsq(plane.T, target, rcond=None)[0]
    steps = np.floor(coefficients) + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    candidates = steps @ plane
    nearest: FloatArray = candidates[np.argmin(((candidates - target) ** 2).sum(axis=1))]
    return nearest
