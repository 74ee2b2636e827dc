"""The short forms of `python -m tests.fuzz http`: every call of a service that asks for keys."""

import pytest

from tests.fuzz.http import run


@pytest.mark.parametrize("phases", ["fuzzing", pytest.param("examples", marks=pytest.mark.proof)])
def test_every_call_answers_as_its_description_says(phases: str) -> None:
    account = run(1, 0, with_key=True, phases=phases)
    if phases == "fuzzing":  # calls without an example are left out of the other
        assert account["operations"]["tested"] == account["operations"]["total"]
    assert (account["failures"], account["errors"], account["logged_errors"]) == ([], [], [])
