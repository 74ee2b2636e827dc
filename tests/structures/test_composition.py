"""The composition grammar: formulas read, and refusals with place and reason."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pymatgen.core.composition import Composition as PymatgenComposition

from app.core.errors import InvalidComposition, UnsupportedElement
from app.structures.composition import parse_composition
from app.structures.elements import SYMBOLS


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("Fe2O3", {"Fe": 2, "O": 3}),
        ("Ca(OH)2", {"Ca": 1, "O": 2, "H": 2}),
        ("K4[Fe(CN)6]", {"K": 4, "Fe": 1, "C": 6, "N": 6}),
        ("{Mg[Al(OH)2]2}2", {"Mg": 2, "Al": 4, "O": 8, "H": 8}),
        ("Li0.5CoO2", {"Li": 0.5, "Co": 1, "O": 2}),
        ("CuSO4·5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4*5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CaSO4.H2O", {"Ca": 1, "S": 1, "O": 5, "H": 2}),
        ("2CaO·SiO2", {"Ca": 2, "Si": 1, "O": 4}),
        ("Fe₂O₃", {"Fe": 2, "O": 3}),
        ("  Fe2 O3\n", {"Fe": 2, "O": 3}),
        ("Na1N", {"Na": 1, "N": 1}),
        ("LiMn1.5Ni0.5O4", {"Li": 1, "Mn": 1.5, "Ni": 0.5, "O": 4}),
        ("Fm", {"Fm": 1}),
    ],
)
def test_formulas(text: str, amounts: dict[str, float]) -> None:
    composition = parse_composition(text)
    assert composition.amounts == pytest.approx(amounts)
    assert composition.notes == ()


def test_isotopes_are_hydrogen_and_said_so() -> None:
    assert parse_composition("D2O").amounts == {"H": 2, "O": 1}
    assert parse_composition("D2O").notes == ("deuterium (D) read as hydrogen",)
    assert parse_composition("LiT").notes == ("tritium (T) read as hydrogen",)
    assert parse_composition("DyTi").amounts == {"Dy": 1, "Ti": 1}


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("FE2O3", 2, "Did you mean Fe2O3?"),
        ("nacl", 1, "Did you mean NaCl?"),
        ("COCL2", 4, "Did you mean CoCl2?"),
        ("AAAA", 1, "'A' is not an element"),
        ("Xx2O", 1, "'Xx' is not an element"),
        ("Fe3+", 4, "charges"),
        ("LiCo1-xO2", 6, "charges, ranges"),
        ("2H2O", 1, "starts with an element"),
        ("Fe)", 3, "does not match"),
        ("Fe(O", 3, "never closed"),
        ("Fe(O]2", 5, "does not match"),
        ("Fe()", 4, "missing"),
        ("((((((H))))))", 6, "nested"),
        ("H123456789", 2, "8 digits"),
        ("H100001", 2, "at most 100000"),
        ("H0", 2, "above 0"),
        ("Li0,5CoO2", 4, "decimals with a point"),
        ("H0.0", 2, "above 0"),
        ("H1e300", 3, "small letter"),
        ("CuSO4.5H2O", 6, "decimal point"),
        ("Al2O3.2SiO2", 6, "decimal point"),
        ("Li.5CoO2", 3, "0.5"),
        ("H2O·", 5, "missing"),
        ("·H2O", 1, "missing"),
        ("Fe\x00", 3, "not part of a formula"),
        ("Fe２", 3, "not part of a formula"),
        ("\ud800", 1, "not part of a formula"),
    ],
)
def test_refusals_name_position_and_reason(text: str, position: int, reason: str) -> None:
    with pytest.raises(InvalidComposition) as caught:
        parse_composition(text)
    assert reason in caught.value.detail
    assert caught.value.context["position"] == position


@pytest.mark.parametrize("text", ["", " \n ", "Si" + "9" * 400, "(H99999)99999", "H" * 201])
def test_other_refusals(text: str) -> None:
    with pytest.raises(InvalidComposition):
        parse_composition(text)


def test_a_missing_value_is_no_sodium_nitride() -> None:
    with pytest.raises(InvalidComposition, match="missing value"):
        parse_composition(" NaN ")
    assert parse_composition("Na1N1").amounts == {"Na": 1, "N": 1}
    assert parse_composition("NaN3").amounts == {"Na": 1, "N": 3}


def test_elements_beyond_fermium() -> None:
    with pytest.raises(UnsupportedElement, match="Og"):
        parse_composition("Og2")


AMOUNTS = st.one_of(
    st.just(""), st.integers(1, 999).map(str), st.decimals("0.01", "0.99", places=2).map(lambda d: f"{d:f}")
)
ELEMENTS = st.sampled_from(SYMBOLS[1:101])
GROUPS = st.recursive(
    st.tuples(ELEMENTS, AMOUNTS).map("".join),
    lambda inner: st.tuples(st.lists(inner, min_size=1, max_size=3).map("".join), AMOUNTS).map(
        lambda pair: f"({pair[0]}){pair[1]}"
    ),
    max_leaves=4,
)


@given(st.lists(GROUPS, min_size=1, max_size=3).map("".join).filter(lambda text: len(text) <= 200))
def test_agrees_with_pymatgen(text: str) -> None:
    theirs = PymatgenComposition(text).get_el_amt_dict()
    assume(all(0.001 < amount <= 1e5 for amount in theirs.values()))
    ours = parse_composition(text)
    assert ours.amounts == pytest.approx(theirs)
    assert ours.fractions().sum() == pytest.approx(1)


@given(st.one_of(st.text(max_size=210), st.text("FeONaClDT()[]{}0123456789.·*+- xX", max_size=40)))
def test_junk_raises_only_our_errors(text: str) -> None:
    try:
        amounts = parse_composition(text).amounts
    except (InvalidComposition, UnsupportedElement):
        return
    assert amounts
    assert all(0 < amount <= 1e5 for amount in amounts.values())
