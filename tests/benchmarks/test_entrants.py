"""Who is named as better than `auto`."""

from benchmarks.entrants import report


def test_entrants_are_compared_on_the_draws_they_have() -> None:
    def draw(seed: int, auto: float, **entrants: float) -> dict[str, object]:
        return {"target": "gaps", "seed": seed, "auto": auto, "entrants": entrants}

    lines = [
        draw(0, 1.0, trees=0.9, ridge=1.5, rare=2.0),
        draw(1, 2.0, trees=1.88, ridge=1.6),
        draw(2, 3.0, trees=2.9, ridge=3.2),
    ]
    # Differences of -0.10, -0.12 and -0.10: t = 16 with two degrees of freedom.
    rows = [line for line in report(lines).splitlines() if line.startswith("| ") and "entrant" not in line]
    assert [row.split(" | ")[0] for row in rows] == ["| trees", "| ridge", "| rare"]
    assert "| 3 | 1.8933 | 2.0000 | -5.3% | 0.0039 **better** |" in rows[0]
    assert "**" not in rows[1] and rows[2].endswith("| 1 | 2.0000 | 1.0000 | +100.0% |  |")
