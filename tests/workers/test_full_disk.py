"""What writes to a disk that is really full says so, is understood, and leaves nothing half-written."""

from pathlib import Path

from tests.small_disk import run_on_small_disk

SCRIPT = """
import sys
from pathlib import Path
import torch
from app.learning.training.state import Progress, RunState
from app.registry.store import ArtifactStore
from obstore.store import LocalStore
from workers.attempt import DISK_FULL, AttemptFolder, RunError
from app.core.disk import is_disk_full
from workers.failure import describe_error

disk = Path(sys.argv[1])
network = torch.nn.Linear(300, 300)
state = RunState(network, torch.optim.SGD(network.parameters()), {}, {}, Progress("key"))
store = ArtifactStore(LocalStore(str(disk)))
writers = {
    "checkpoint": lambda: state.save(disk),
    "object": lambda: store.put_new("artifacts/0/weights", bytes(10**6)),
    "objects in pieces": lambda: store.put_stream("bulk/0/input", iter([bytes(10**5)] * 10)),
    "file": lambda: (disk / "file").write_bytes(bytes(10**6)),
}
for name, write in writers.items():
    try:
        write()
        print(name, "was written")
    except Exception as error:
        assert is_disk_full(error), repr(error)
        assert describe_error(error, "run", "run_failed", "").code == "disk_full"
left = [path.name for path in disk.rglob("*") if path.is_file() and path.name != "file"]
assert left == [], left
assert AttemptFolder(disk).write_error(RunError(code="x", detail="y" * 10**5)) == DISK_FULL
print("done")
"""


def test_a_full_disk_is_recognised_and_nothing_is_half_written(tmp_path: Path) -> None:
    answer = run_on_small_disk(SCRIPT, tmp_path, "100k")
    assert answer.stdout.split() == ["done"], answer.stdout + answer.stderr
