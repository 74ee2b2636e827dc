"""Requests that succeed, shown in the API documentation."""

from typing import Any

_PEROVSKITES = [{"composition": formula} for formula in ("SrTiO3", "BaZrO3", "KNbO3", "LaAlO3", "CsPbI3", "NaTaO3")]

SUGGESTION_EXAMPLES: dict[str, Any] = {
    "batch": {
        "summary": "Which perovskites to compute next",
        "description": "The ones whose labels would teach the model most.",
        "value": {"model": "elemnet-formation-energy", "candidates": _PEROVSKITES, "count": 3},
    },
    "target": {
        "summary": "Which are likely to be very stable",
        "description": "Ranked by the probability of a formation energy below -3 eV/atom.",
        "value": {
            "model": "elemnet-formation-energy",
            "candidates": _PEROVSKITES,
            "count": 3,
            "strategy": "target",
            "target": {"below": -3.0},
        },
    },
}
