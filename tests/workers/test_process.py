"""How the process of a job stands to the others of the machine."""

import os
from pathlib import Path

import pytest

from workers.process import JobProcess

AUTOGROUP = Path("/proc/self/autogroup")


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that does nothing until it is stopped."""
    (tmp_path / "waits.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "waits"


@pytest.mark.parametrize("niceness", [0, 10])
def test_it_stands_back_behind_requests(waiting: str, tmp_path: Path, niceness: int) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    process = JobProcess(waiting, tmp_path, niceness)
    try:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(own + niceness, 19)
        if AUTOGROUP.is_file():
            assert Path(f"/proc/{process.pid}/autogroup").read_text().split()[-1] == str(niceness)
    finally:
        process.stop(grace_s=0)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
