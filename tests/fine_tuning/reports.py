"""What tournaments leave in a manifest, to be shown."""

from typing import Any


def entrant(name: str, mae: float, weight: float = 0.0, p: float = 1e-7) -> dict[str, Any]:
    return {
        "name": name, "mae": mae, "mae_transformed": mae / 100, "fold_mae": [mae * f for f in (0.9, 1.1, 1.0)],
        "p_against_winner": p, "p_against_winner_folds": 0.04, "weight": weight, "seconds": 75.2,
    }  # fmt: skip


def tournament(*, combined: bool = True, is_better: bool = True, **changes: Any) -> dict[str, Any]:
    """Of 100 rows in three folds, won by one entrant or by a combination of two."""
    entrants = [entrant("SVR, bonding descriptors", 10.0, 0.25 if combined else 1.0, 0.02 if combined else 1.0)]
    entrants += [entrant("source fine-tuned", 11.0, 0.75 if combined else 0.0), entrant("random forest, Magpie", 14.0)]
    members = {"SVR, bonding descriptors": 0.25, "source fine-tuned": 0.75} if combined else {entrants[0]["name"]: 1.0}
    winner = {
        "name": "combination" if combined else entrants[0]["name"], "mae": 9.0 if combined else 10.0,
        "mae_transformed": 0.09, "fold_mae": [8.1, 9.9, 9.0], "members": members,
    }  # fmt: skip
    comparison = {"baseline": "random forest, Magpie", "gain": 0.3, "p_rows": 1e-5, "p_folds": 0.03}
    return {
        "kind": "tournament", "n_rows": 100, "n_folds": 3, "winner": winner, "entrants": entrants,
        "left_out": [{"name": "CGCNN from scratch", "why": "far behind in the first fold"}],
        "against_baseline": comparison, "against_median": {**comparison, "baseline": "answering the median"},
        "is_better_than_baseline": is_better, "reason": "Combination is 35.7% better than random forest, Magpie.",
        "sources": ["source/0123456789ab"],
        "learning_curve": [
            {"n_train": n, "mae": 20.0 - n / 10, "mae_transformed": 0.2 - n / 1000} for n in (17, 33, 50, 67)
        ],
        "seconds": 240.0, **changes,
    }  # fmt: skip
