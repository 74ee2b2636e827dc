"""The benchmark of bond descriptors: rows that share nothing, and a table of what was measured so far."""

from benchmarks.bonding import DESCRIPTORS, MEAN, METHODS, TASKS, report, split


def test_training_and_test_share_no_formula() -> None:
    formulas = [f"A{index % 400}B" for index in range(1000)]
    train, test = split(TASKS[0], formulas, 3)
    assert abs(len(train) - TASKS[0].n_train) <= 3 and len(train) + len(test) == 1000
    assert not {formulas[row] for row in train} & {formulas[row] for row in test}
    assert split(TASKS[0], formulas, 4)[0].tolist() != train.tolist()


def test_seeds_that_only_one_descriptor_has_are_left_out() -> None:
    def entry(mae: float) -> dict[str, dict[str, float]]:
        of_methods = {method.value: {"mae": mae, "seconds": 3.0} for method in METHODS}
        return of_methods | {MEAN: {"mae": mae, "n_test": 316.0}}

    magpie, bonding = DESCRIPTORS
    results = {f"{TASKS[1].name}/{seed}/{magpie}": entry(0.12 + 0.01 * seed) for seed in (0, 1, 2)}
    results |= {f"{TASKS[1].name}/{seed}/{bonding}": entry(0.09 + 0.02 * seed) for seed in (0, 1)}
    text = report(results)
    assert "316 test rows, 2 seeds" in text and TASKS[0].file not in text
    assert "| svr | 0.1250 ± 0.0071 | 0.1000 ± 0.0141 | -20 % |" in text
    assert f"| {MEAN} | 0.1250 ± 0.0071 | 0.1000 ± 0.0141 | -20 % |" in text
