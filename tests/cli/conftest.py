from collections.abc import Iterator

import pytest

from tests.cli.forked import Commands, command_server
from tests.tiny_models import tiny_models

__all__ = ["tiny_models"]


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    with command_server() as served:
        yield served
