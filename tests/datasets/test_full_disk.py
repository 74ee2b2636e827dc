"""Uploads to a service whose disk is really full: refused with a code of their own, and nothing of them stays."""

from pathlib import Path

from tests.small_disk import run_on_small_disk

SCRIPT = """
import os, sys, tempfile
from pathlib import Path
from fastapi.testclient import TestClient
from app.core.db import upgrade_to_head
from app.core.settings import InferenceSettings, Settings
from app.main import create_app
from app.predictions.compute_client import Compute
from app.predictions.warm_up import WarmUp

async def nothing(_):
    pass

Compute.start, WarmUp.start = nothing, lambda _: None  # nothing is predicted here
disk = Path(sys.argv[1])
spool, data, filler = disk / "spool", disk / "data", disk / "filler"
spool.mkdir()
tempfile.tempdir = str(spool)
settings = Settings(
    data_dir=data, models_store=disk / "none", device="cpu", broker_url="redis://127.0.0.1:1/0", access={"keys": "off"},
    inference=InferenceSettings(pool_size=0),
)
upgrade_to_head(settings.resolved_database_url)

def free(n_bytes):
    filler.unlink(missing_ok=True)
    there = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, there.f_bavail * there.f_frsize - n_bytes))

def left():
    return sorted(str(path.relative_to(disk)) for folder in (spool, data / "store") for path in folder.rglob("*")
                  if path.is_file())

def csv(n):
    lines = (f"Fe{i}O{i + 1},{i}.5" for i in range(1, n))
    return "composition,k_vrh" + chr(10) + chr(10).join(lines)

def upload(n_rows):
    return client.post("/v1/datasets", files={"file": ("a.csv", csv(n_rows).encode())}, data={"property": "k_vrh"})

def refused(answer):
    found = answer.json()
    assert (answer.status_code, found["code"]) == (507, "storage_full"), answer.text
    assert answer.headers["content-type"] == "application/problem+json" and "disk" in found["detail"]

with TestClient(create_app(settings), raise_server_exceptions=False) as client:
    assert left() == []
    free(0)
    refused(upload(120_000))  # larger than what is kept in memory while it arrives
    refused(upload(40))  # the rows find no room in the store
    assert left() == [], left()
    for i in range(3_000):  # the database finds none
        answer = client.post("/v1/webhooks", json={"url": f"https://example.org/{i}/{'x' * 1900}"})
        if answer.status_code != 201:
            break
    refused(answer)
    assert client.get("/v1/datasets").json()["items"] == []
    filler.unlink()
    assert upload(40).status_code == 201
    assert len(client.get("/v1/datasets").json()["items"]) == 1 and len(left()) == 1
print("done")
"""


def test_a_full_disk_is_said_and_nothing_stays(tmp_path: Path) -> None:
    answer = run_on_small_disk(SCRIPT, tmp_path, "8m")
    assert answer.stdout.splitlines()[-1:] == ["done"], answer.stdout + answer.stderr
