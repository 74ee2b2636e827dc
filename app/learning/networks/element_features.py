"""The CGCNN authors' one-hot element features (Xie & Grossman 2018; github txie-93/cgcnn, MIT).

Group, period, electronegativity, covalent radius, valence electrons, first ionisation energy, electron affinity,
block and atomic volume, each binned: 92 bits an element, stored as hexadecimal numbers.
"""

import json
from importlib.resources import files

import torch
from torch import Tensor

from app.structures.elements import MAX_ATOMIC_NUMBER

N_ELEMENT_FEATURES = 92


def element_features() -> Tensor:
    """(101, 92) float32; row = atomic number, row 0 is zero."""
    text = files("app.learning.networks").joinpath("element_features.json").read_text()
    table = torch.zeros(MAX_ATOMIC_NUMBER + 1, N_ELEMENT_FEATURES)
    for number, bits in json.loads(text).items():
        table[int(number)] = torch.tensor([float(bit) for bit in format(int(bits, 16), f"0{N_ELEMENT_FEATURES}b")])
    return table
