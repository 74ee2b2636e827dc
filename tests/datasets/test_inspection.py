"""Row by row validation and what the report says about the whole."""

import io
from typing import Any

import numpy as np
import pytest

from app.core.settings import LimitSettings
from app.datasets.inspection import Inspection, inspect_table, with_champions
from app.datasets.readers import read_dataset
from app.properties.catalogue import Transform, resolve_property
from app.registry.manifest import InputKind
from tests.crystals import cscl, permuted, rocksalt
from tests.datasets.tables import CATIONS, as_csv, as_json_lines, cif_of, compositions, records


def _inspect(rows: list[dict[str, Any]], property_key: str = "k_vrh", **own: Any) -> Inspection:
    spec = resolve_property(property_key, **own)
    table = read_dataset(io.BytesIO(as_csv(rows)), property_key, LimitSettings())
    return inspect_table(table, spec)


def test_a_clean_table() -> None:
    report = _inspect(records()).report
    assert (report.n_rows, report.n_usable, report.n_failed) == (30, 30, 0)
    assert report.input_kind is InputKind.STRUCTURE
    assert report.n_formulas == 30
    assert report.elements["Na"] == 6
    assert report.labels is not None
    assert (report.labels.unit, report.labels.min, report.labels.max) == ("GPa", 100.0, 187.0)
    assert report.labels.mean == pytest.approx(143.5)
    assert not (report.failures or report.duplicates or report.conflicts or report.outliers or report.similar)
    assert report.warnings == ["Only 30 rows can be used: a model from fewer than 50 will be rough."]


def test_a_missing_composition_is_no_sodium_nitride() -> None:
    rows = [*compositions(), {"formula": "NaN", "k_vrh": 3}, {"formula": "Na", "k_vrh": 6.3}]
    report = _inspect(rows).report
    assert (report.n_usable, report.failure_counts) == (31, {"missing_input": 1})
    assert "sodium nitride NaN is Na1N1" in report.failures[0].detail


def test_negative_labels_do_not_look_like_logarithms() -> None:
    report = _inspect([{**row, "k_vrh": -row["k_vrh"]} for row in records()]).report
    assert not any("look like log10" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("label", "code", "words"),
    [
        ("", "label_missing", "no label"),
        ("NaN", "label_missing", "no label"),
        ("n/a", "label_missing", "no label"),
        ("inf", "label_not_finite", "'inf' is not finite"),
        ("soft", "label_not_a_number", "'soft' is not a number"),
        ("1,5", "label_not_a_number", "Write decimals with a point"),
        ("1_000", "label_not_a_number", "'1_000' is not a number"),
        ("-3", "label_not_positive", "-3 GPa has no logarithm"),
        ("0", "label_not_positive", "0 GPa has no logarithm"),
        ("1e6", "label_out_of_range", "1e+06 GPa is not physical"),
    ],
)
def test_labels_that_cannot_be_used(label: str, code: str, words: str) -> None:
    rows = records()
    rows[3]["k_vrh"] = label
    report = _inspect(rows).report
    assert (report.n_usable, report.n_failed) == (29, 1)
    failure = report.failures[0]
    assert (failure.row_id, failure.code) == ("LiI", code)
    assert words in failure.detail
    assert report.failure_counts == {code: 1}


@pytest.mark.parametrize(
    ("cif", "code"),
    [
        ("", "missing_input"),
        ("no structure", "unparsable_structure"),
        (cif_of(rocksalt(5.64, "Na", "Cl")).replace("_cell_length_a", "_cell_nothing_a"), "missing_cell"),
    ],
)
def test_structures_that_cannot_be_used(cif: str, code: str) -> None:
    rows = records()
    rows[0]["cif"] = cif
    report = _inspect(rows).report
    assert report.failure_counts == {code: 1}
    assert report.failures[0].line == 2


def test_compositions_that_cannot_be_used() -> None:
    rows = compositions()
    rows[0]["formula"] = "Na1Xx"
    assert _inspect(rows).report.failure_counts == {"invalid_composition": 1}


def test_a_structure_column_may_hold_any_format() -> None:
    structure = {
        "lattice": {"matrix": [[5.64, 0, 0], [0, 5.64, 0], [0, 0, 5.64]]},
        "sites": [
            {"species": [{"element": "Cs", "occu": 1}], "abc": [0, 0, 0]},
            {"species": [{"element": "Cl", "occu": 1}], "abc": [0.5, 0.5, 0.5]},
        ],
    }
    poscar = "CsCl\n1.0\n4.1 0 0\n0 4.1 0\n0 0 4.1\nCs Br\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
    rows = [
        {"structure": structure, "target": 20.0},
        {"structure": poscar, "target": 21.0},
        {"structure": cif_of(rocksalt(5.64, "Na", "Cl")), "target": 22.0},
    ]
    table = read_dataset(io.BytesIO(as_json_lines(rows)), "k_vrh", LimitSettings())
    inspection = inspect_table(table, resolve_property("k_vrh"))
    assert inspection.report.failures == []
    assert [row.kind for row in inspection.rows] == ["json", "poscar", "cif"]


@pytest.mark.parametrize(
    ("labels", "is_refused"),
    [
        ((0.3, 0.30000000000000004), True),
        ((100.0, 100.0000000000002), True),
        ((100.0, 100.000001), False),
        ((0.0, 5e-324), True),
        ((0.0, 1e-300), False),
        ((-1e99, 1e99), False),
    ],
)
def test_labels_that_differ_by_next_to_nothing_or_by_everything_are_described(
    labels: tuple[float, float], is_refused: bool
) -> None:
    rows = [{"formula": f"Na{n}Cl", "mine": labels[n % 2]} for n in range(1, 31)]
    report = _inspect(rows, "mine", unit="1").report
    assert report.labels is not None and sum(report.labels.histogram.counts) == 30
    assert np.isfinite(report.labels.std) and (report.refused is not None) == is_refused


def test_numbers_too_large_to_compute_with_are_no_labels() -> None:
    rows = [{"formula": f"Na{n}Cl", "mine": float(n)} for n in range(1, 31)]
    rows[4]["mine"] = 1.7e308
    assert _inspect(rows, "mine", unit="1").report.failure_counts == {"label_out_of_range": 1}


def test_repeated_rows_are_left_out() -> None:
    rows = records()
    again = cif_of(permuted(rocksalt(4.0, "Li", "F"), seed=1))
    rows += [{"id": "again", "cif": again, "k_vrh": 100.0}, {"id": "LiF", "cif": rows[5]["cif"], "k_vrh": 115.0}]
    report = _inspect(rows).report
    assert (report.n_rows, report.n_usable, report.n_duplicates) == (32, 30, 2)
    assert [(d.row_id, d.first_row_id) for d in report.duplicates] == [("again", "LiF"), ("LiF~2", "LiS")]
    assert any("'LiF'" in warning for warning in report.warnings)


def test_contradicting_labels_are_reported_and_kept() -> None:
    rows = [*records(), {"id": "other", "cif": records()[0]["cif"], "k_vrh": 140.0}]
    report = _inspect(rows).report
    assert (report.n_usable, report.n_conflicts) == (31, 1)
    assert report.conflicts[0].formula == "FLi"
    assert report.conflicts[0].row_ids == ["LiF", "other"]
    assert report.conflicts[0].values == [100.0, 140.0]


def test_compositions_in_other_words_are_the_same_input() -> None:
    rows = [*compositions(), {"formula": "Na2Cl2", "k_vrh": 50.0}, {"formula": "ClNa", "k_vrh": 70.0}]
    report = _inspect(rows).report
    assert report.n_duplicates == 1
    assert [conflict.values for conflict in report.conflicts] == [[50.0, 70.0]]


def test_polymorphs_with_one_label_are_pointed_out() -> None:
    rows = [*records(), {"id": "polymorph", "cif": cif_of(cscl(3.0, "Li", "F")), "k_vrh": 100.0}]
    report = _inspect(rows).report
    assert report.n_usable == 31
    assert [similar.row_ids for similar in report.similar] == [["LiF", "polymorph"]]


def test_outliers_are_found_on_the_learned_scale() -> None:
    rows = records()
    rows[7]["k_vrh"] = 1.0
    report = _inspect(rows).report
    assert [(outlier.row_id, outlier.value) for outlier in report.outliers] == [("NaCl", 1.0)]
    assert report.n_usable == 30


def test_labels_that_are_logarithms_already() -> None:
    rows = [{**row, "k_vrh": 1.5 + 0.01 * i} for i, row in enumerate(records())]
    assert any("look like log10 of the bulk modulus" in warning for warning in _inspect(rows).report.warnings)
    assert not any("log10" in warning for warning in _inspect(records()).report.warnings)


def test_a_property_of_the_users_own() -> None:
    rows = [{**row, "hardness": -1.0 * i} for i, row in enumerate(records())]
    report = _inspect(rows, "hardness", unit="GPa").report
    assert report.n_failed == 0
    logarithmic = _inspect(rows, "hardness", unit="GPa", transform=Transform.LOG10).report
    assert logarithmic.failure_counts == {"label_not_positive": 30}


def test_elements_a_champion_never_saw() -> None:
    inspection = with_champions(_inspect(records()), {("a", 1): {"Na", "Cl"}, ("b", 2): set(CATIONS)})
    by_model = {unseen.model: unseen for unseen in inspection.report.unseen_elements}
    assert by_model["b"].elements == ["Br", "Cl", "F", "I", "O", "S"]
    assert by_model["a"].n_rows == 29


def test_nothing_usable_still_gives_a_report() -> None:
    report = _inspect([{"formula": "?", "target": "?"}]).report
    assert (report.n_usable, report.labels, report.input_kind) == (0, None, None)
