"""`xtalforge keys`, `tenants`, `audit`, and what `up` refuses, as a user types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from app.cli.main import app
from app.cli.output import EXIT_ERROR, EXIT_REFUSED
from app.core.settings import PROJECT_ROOT


def _run(data_dir: Path, *arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


def test_the_life_of_a_key(tmp_path: Path) -> None:
    token = _run(tmp_path, "keys", "create", "alice", "--tenant", "lab", "--expires", "30d").strip()
    assert token.startswith("xf_") and "\n" not in token
    (listed,) = json.loads(_run(tmp_path, "keys", "list", "--json"))
    assert (listed["tenant"], listed["scopes"], listed["state"]) == ("lab", ["predict", "train"], "valid")
    assert token.split("_", 2)[2] not in json.dumps(listed)
    new = json.loads(_run(tmp_path, "keys", "rotate", listed["prefix"], "--grace", "1h", "--json"))
    assert new["key"] != token and new["replaces"] == listed["id"]
    assert json.loads(_run(tmp_path, "keys", "revoke", listed["id"], "--json"))["state"] == "revoked"
    _run(tmp_path, "keys", "revoke", "nobody", code=EXIT_REFUSED)
    _run(tmp_path, "keys", "create", "bob", "--expires", "soon", code=EXIT_REFUSED)
    events = json.loads(_run(tmp_path, "audit", "--json", "--tenant", "lab"))
    assert [event["action"] for event in events] == ["keys create", "keys rotate", "keys revoke"]


def test_quotas_of_a_tenant(tmp_path: Path) -> None:
    _run(tmp_path, "tenants", "set", "lab", "--open-jobs", "3", "--datasets", "5")
    _run(tmp_path, "tenants", "set", "lab", "--datasets", "-1")
    tenants = {tenant["name"]: tenant["quotas"] for tenant in json.loads(_run(tmp_path, "tenants", "list", "--json"))}
    assert tenants == {"default": {}, "lab": {"open_jobs": 3}}


def test_up_refuses_to_be_open_to_everybody(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli.main", "up", "--host", "0.0.0.0", "--port", "18999"],
        capture_output=True, text=True, cwd=tmp_path, timeout=100,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "XTALFORGE_DATA_DIR": str(tmp_path / "data")},
    )  # fmt: skip
    assert done.returncode == EXIT_ERROR
    assert "xtalforge keys create" in done.stderr and "XTALFORGE_ACCESS__KEYS=off" in " ".join(done.stderr.split())
