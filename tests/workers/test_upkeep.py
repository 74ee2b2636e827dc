"""What nothing needs goes by itself, beside a worker at work."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.settings import UpkeepSettings
from tests.workers.conftest import Installation, wait_until
from workers.upkeep import Upkeep

SECOND = 1 / 3600


@pytest.fixture
def often(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    monkeypatch.setenv("XTALFORGE_UPKEEP__EVERY_HOURS", str(SECOND))
    upkeep = UpkeepSettings(every_hours=SECOND)
    found = Installation(installation.settings.model_copy(update={"upkeep": upkeep}))
    yield found
    found.close()


def _put_old(installation: Installation, path: str) -> Path:
    """An object without a row, from three days ago."""
    installation.store.put_new(path, b"orphan")
    found = installation.settings.data_dir / "store" / path
    then = time.time() - 3 * 86_400
    os.utime(found, (then, then))
    return found


def test_a_worker_clears_the_store(often: Installation) -> None:
    dataset_id = often.dataset()
    orphan = _put_old(often, "bulk/none/parts/1.parquet")
    with often.worker():
        wait_until(lambda: not orphan.exists(), "the orphan to go")
    assert often.store.list("trash") and often.store.list("datasets")
    assert dataset_id


def test_one_worker_takes_the_turn_until_the_next_is_due(often: Installation) -> None:
    one, other = (Upkeep(often.settings, name) for name in ("one", "other"))
    assert (one.takes_turn(), other.takes_turn()) == (True, False)
    time.sleep(1.1)
    assert (other.takes_turn(), one.takes_turn()) == (True, False)


def test_without_a_broker_nobody_takes_it(often: Installation) -> None:
    away = often.settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    assert not Upkeep(away, "one").takes_turn()
