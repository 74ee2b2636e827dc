"""Average SOAP of a crystal: which element sits how far and at which angle around which, rotation-free.

Bartók, Kondor, Csányi, Phys. Rev. B 87 (2013) 184115; numbers as DScribe's `SOAP(rbf="gto", average="outer")`. With
a hundred elements the vector has a million entries, all but a few blocks zero, so only the blocks of element pairs
that occur are kept.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from app.learning.descriptors.soap_basis import cutoff_padding, radial_basis
from app.learning.descriptors.surroundings import SAME_POINT, find_surroundings
from app.structures.crystal import Crystal
from app.structures.elements import MAX_ATOMIC_NUMBER

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NO_PAIR = -1
"""Pair number of padding."""


class SoapSettings(BaseModel):
    """Size of the expansion. Part of the manifest of every model that uses it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r_cut: float = Field(default=6.0, gt=1.0, le=12.0, description="Å. Radius of an environment.")
    n_max: int = Field(default=6, ge=1, le=12, description="Radial functions.")
    l_max: int = Field(default=4, ge=0, le=9, description="Highest degree of the spherical harmonics.")
    sigma: float = Field(default=0.5, gt=0.05, le=2.0, description="Å. Width of a smeared atom.")

    @property
    def block_size(self) -> int:
        """Numbers of one element pair."""
        return self.n_max**2 * (self.l_max + 1)


def soap_row(average: tuple[IntArray, FloatArray]) -> npt.NDArray[np.float32]:
    """What `average_soap` gives, side by side, (P, 1 + block_size); pair numbers are exact in float32."""
    return np.column_stack(average).astype(np.float32)


def pad_rows(rows: Sequence[npt.NDArray[np.float32]], settings: SoapSettings) -> npt.NDArray[np.float32]:
    """Rows (P_i, 1 + block_size) as one array (n, P, 1 + block_size); P is that of the longest.

    [:, :, 0] is the number of the element pair, NO_PAIR in padding.
    """
    width = max((row.shape[0] for row in rows), default=0)
    padded = np.zeros((len(rows), width, 1 + settings.block_size), dtype=np.float32)
    padded[:, :, 0] = NO_PAIR
    for index, row in enumerate(rows):
        padded[index, : row.shape[0]] = row
    return padded


def average_soap(crystal: Crystal, settings: SoapSettings) -> tuple[IntArray, FloatArray]:
    """Pair numbers 101 Z + Z' (P,), Z <= Z', and blocks (P, block_size) [n, n', l] of the mean power spectrum.

    The blocks together have length 1. Of a pair of equal elements, only n <= n' is kept (the rest is 0).
    Raises what `find_surroundings` raises.
    """
    elements, coefficients = _coefficients(crystal, settings)
    spectrum = _power_spectrum(coefficients)
    n_max = settings.n_max
    first, second = np.triu_indices(elements.shape[0])
    blocks = spectrum[first, second]
    same = first == second
    blocks[same] *= np.triu(np.ones((n_max, n_max)))[None, :, :, None]
    flat = blocks.reshape(first.shape[0], settings.block_size)
    pairs = elements[first] * (MAX_ATOMIC_NUMBER + 1) + elements[second]
    return pairs, flat / np.linalg.norm(flat)


def _coefficients(crystal: Crystal, settings: SoapSettings) -> tuple[IntArray, list[npt.NDArray[np.complex128]]]:
    """Elements (S,), and for each degree l the expansion of the density around each site, (N, S, n_max, l + 1).

    Orders m >= 0 only: those below are their conjugates, the density being real.
    """
    from scipy.special import sph_harm_y_all

    radius = settings.r_cut + cutoff_padding(settings.sigma)
    centre, neighbour, vectors, distances = find_surroundings(crystal, radius)
    elements, species = np.unique(crystal.atomic_numbers, return_inverse=True)
    group = centre * elements.shape[0] + species[neighbour]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    vectors, distances = vectors[order], distances[order]
    polar = np.arccos(np.clip(vectors[:, 2] / np.maximum(distances, SAME_POINT), -1.0, 1.0))
    harmonics = sph_harm_y_all(settings.l_max, settings.l_max, polar, np.arctan2(vectors[:, 1], vectors[:, 0]))
    basis = radial_basis(settings.r_cut, settings.n_max, settings.l_max)
    found = []
    for degree in range(settings.l_max + 1):
        radial = _smeared(distances, basis.exponents[degree], degree, settings.sigma)
        summed = np.add.reduceat(radial[:, :, None] * harmonics[degree, : degree + 1].T[:, None, :], starts, axis=0)
        expansion = np.zeros((crystal.n_sites * elements.shape[0], settings.n_max, degree + 1), dtype=np.complex128)
        expansion[group[order][starts]] = np.einsum("ab,gbm->gam", basis.mixing[degree], summed)
        found.append(expansion.reshape(crystal.n_sites, elements.shape[0], settings.n_max, degree + 1))
    return elements, found


def _smeared(distances: FloatArray, exponents: FloatArray, degree: int, sigma: float) -> FloatArray:
    """Overlap of a Gaussian of width sigma at each distance with each orbital, angles apart, (E, n_max)."""
    width = 1.0 / (2.0 * sigma**2)
    total = width + exponents
    scale = (np.pi / total) ** 1.5 * (width / total) ** degree
    decay = np.exp(-(width * exponents / total) * distances[:, None] ** 2)
    return np.asarray(scale * distances[:, None] ** degree * decay)


def _power_spectrum(coefficients: list[npt.NDArray[np.complex128]]) -> FloatArray:
    """(S, S, n_max, n_max, l_max + 1), mean over sites."""
    spectra = []
    for degree, expansion in enumerate(coefficients):
        n_sites, n_species, n_max, _ = expansion.shape
        weights = np.full(degree + 1, np.sqrt(2.0))
        weights[0] = 1.0
        rows = (expansion * weights).transpose(1, 2, 0, 3).reshape(n_species * n_max, -1)
        products = (rows @ rows.conj().T).real.reshape(n_species, n_max, n_species, n_max)
        spectra.append(np.pi * np.sqrt(8.0 / (2 * degree + 1)) / n_sites * products.transpose(0, 2, 1, 3))
    return np.stack(spectra, axis=-1)
