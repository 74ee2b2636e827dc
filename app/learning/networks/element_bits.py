"""The CGCNN authors' one-hot element features (Xie & Grossman 2018; github txie-93/cgcnn, MIT), without torch.

Group, period, electronegativity, covalent radius, valence electrons, first ionisation energy, electron affinity,
block and atomic volume, each binned: 92 bits an element, stored as hexadecimal numbers.
"""

import json
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from app.structures.elements import MAX_ATOMIC_NUMBER

N_ELEMENT_FEATURES = 92


def element_bits() -> npt.NDArray[np.float32]:
    """(101, 92); row = atomic number, row 0 is zero."""
    text = files("app.learning.networks").joinpath("element_features.json").read_text()
    table = np.zeros((MAX_ATOMIC_NUMBER + 1, N_ELEMENT_FEATURES), dtype=np.float32)
    for number, bits in json.loads(text).items():
        table[int(number)] = [float(bit) for bit in format(int(bits, 16), f"0{N_ELEMENT_FEATURES}b")]
    return table
