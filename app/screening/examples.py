"""Requests that succeed as they stand."""

from typing import Any

EXAMPLES: dict[str, Any] = {
    "perovskites": {
        "summary": "Perovskite oxides and sulfides with a gap for solar cells, made by substitution",
        "value": {
            "generator": {
                "kind": "prototypes", "prototypes": ["perovskite"],
                "sites": {"A": ["Ca", "Sr", "Ba", "La"], "B": ["Ti", "Zr", "Hf", "Sn", "Al"], "X": ["O", "S"]},
            },
            "constraints": [{"property": "band_gap", "at_least": 1.0, "at_most": 2.5}],
            "objectives": [{"property": "formation_energy_per_atom", "goal": "minimise"}],
            "min_probability": 0.3,
            "count": 10,
        },
    },
    "solid_solution": {
        "summary": "Stability along a solid solution, from compositions alone",
        "value": {
            "generator": {"kind": "solid_solution", "ends": ["BaTiO3", "SrTiO3"], "steps": 10},
            "objectives": [{"property": "formation_energy_per_atom", "goal": "minimise"}],
        },
    },
    "candidates": {
        "summary": "Compositions from a list",
        "value": {
            "candidates": [{"id": "sto", "composition": "SrTiO3"}, {"id": "salt", "composition": "NaCl"}],
            "constraints": [{"property": "formation_energy_per_atom", "at_most": -2.5}],
        },
    },
}  # fmt: skip
