"""What is said of models that could not be loaded at the start."""

from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.core.errors import NotReady
from app.predictions.selection import SelectedModel
from app.predictions.warm_up import WarmUp


class Ended:
    """A compute process that ends while it is asked."""

    def predict(self, *_: object) -> bytes:
        raise NotReady("The process that computes predictions has ended.", retry_after_s=2)


class Nothing:
    """A directory."""

    def select(self, *_: object) -> Sequence[SelectedModel]:
        return []


@pytest.mark.parametrize("is_stopping", [False, True])
def test_only_a_failure_while_the_service_runs_is_told(is_stopping: bool) -> None:
    predictions: Any = Ended()
    directory: Any = Nothing()
    warm_up = WarmUp(predictions, directory)
    if is_stopping:
        warm_up.stop()
    with capture_logs() as told:
        warm_up._run()
    assert [line["event"] for line in told] == ([] if is_stopping else ["models not loaded"])
