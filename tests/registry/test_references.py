"""How versions are named from outside."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidName
from app.registry.references import ModelReference, parse_reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cgcnn-band-gap", ModelReference("cgcnn-band-gap", alias="champion")),
        ("cgcnn-band-gap@candidate", ModelReference("cgcnn-band-gap", alias="candidate")),
        ("cgcnn-band-gap/3", ModelReference("cgcnn-band-gap", version=3)),
    ],
)
def test_the_three_forms(text: str, expected: ModelReference) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text", ["", "a/", "a/0", "a/x", "a/-1", "a@", "a@3", "../a", "a/1/2", "a b", "x" * 101, "a\n"]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        parse_reference(text)


@given(st.text(max_size=120))
def test_any_text_gives_a_reference_or_a_reason(text: str) -> None:
    with suppress(InvalidName):
        assert parse_reference(text).name in text


def test_a_reason_does_not_repeat_a_text_without_end() -> None:
    with pytest.raises(InvalidName) as caught:
        parse_reference("a/" + "x" * 100_000)
    assert len(caught.value.detail) < 500
