"""The short form of `python -m tests.fuzz http`: every call of a service that asks for keys."""

from tests.fuzz.http import run


def test_every_call_answers_as_its_description_says() -> None:
    account = run(1, 0, with_key=True, phases="examples,fuzzing")
    assert account["operations"]["tested"] == account["operations"]["total"]
    assert (account["failures"], account["errors"], account["logged_errors"]) == ([], [], [])
