"""The commands of a Markdown document, and a shell that runs them one after the other beside a running service."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from app.core.settings import PROJECT_ROOT
from app.predictions.examples import NACL_CIF

NOT_RUN = re.compile(r"<!-- not run: (.*) -->")
SERVER = "http://127.0.0.1:8000"
TERMINAL = ("succeeded", "failed", "cancelled", "expired")
COMMAND_TIMEOUT_S = 240
JOB_TIMEOUT_S = 200

SUBSTITUTIONS = {
    '"cif": "..."': f'"cif": {json.dumps(NACL_CIF)}'.replace("'", "\\u0027"),
    '"max_seconds": 900': '"max_seconds": 8, "n_folds": 2',
    "http://HOST:8000": SERVER,
}
"""What stands for something of the reader's, or would take too long."""

NAMED = {
    "ds_...": r"\bds_[0-9a-f]{32}\b", "job_...": r"\bjob_[0-9a-f]{32}\b", "key_...": r"\bkey_[0-9a-f]+\b",
    "xf_...": r"\bxf_[0-9A-Za-z_-]{20,}",
}  # fmt: skip
"""What stands for the last such name that a command has printed."""


@dataclass(frozen=True)
class Command:
    line: int
    text: str
    why_not: str | None
    """Why it is not run; None = it is."""


def commands_of(path: Path) -> list[Command]:
    """Those of the blocks `console` (after `$`) and `sh` (every line), with lines that go on joined."""
    found: list[Command] = []
    kind, why_not = "", None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if marked := NOT_RUN.fullmatch(line):
            why_not = marked[1]
        elif line.startswith("```"):
            if kind:
                kind, why_not = "", None
            else:
                kind = line.removeprefix("```") or "text"
        elif kind in ("console", "sh"):
            goes_on = bool(found) and _is_open(found[-1].text)
            if goes_on:
                last = found[-1]
                found[-1] = Command(last.line, f"{last.text}\n{line}", last.why_not)
            elif line.startswith("$ ") or (kind == "sh" and line):
                found.append(Command(number, line.removeprefix("$ "), why_not))
    return found


def _is_open(command: str) -> bool:
    """Whether the next line belongs to it: it ends with a backslash, or within a quotation."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


@dataclass
class Shell:
    """A folder, a service, the program `xtalforge`, and what earlier commands have exported and named."""

    folder: Path
    url: str
    environment: dict[str, str]
    xtalforge: Path
    names: dict[str, str] = field(default_factory=dict)
    """What placeholders stand for by now."""

    def __post_init__(self) -> None:
        path = f"{self.xtalforge.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**self.environment, "PATH": path, "COLUMNS": "200", "PYTHONPATH": str(PROJECT_ROOT)}

    def run(self, command: str) -> str:
        """What it prints; an AssertionError when it fails, or the service refuses what it asks."""
        exported = self.folder / ".exported"
        script = f"set -o pipefail\n[ -f {exported} ] && . {exported}\n{self.filled_in(command)}\n"
        script += f'status=$?\nexport PATH="{self.environment["PATH"]}"\nexport -p > {exported}\nexit $status\n'
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=COMMAND_TIMEOUT_S,
        )  # fmt: skip
        told = f"$ {command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        assert done.returncode == 0, told
        assert "urn:xtalforge:problem" not in done.stdout and "Traceback" not in done.stderr, told
        for placeholder, pattern in NAMED.items():
            if found := re.findall(pattern, done.stdout + done.stderr):
                self.names[placeholder] = found[-1]
        if re.search(NAMED["job_..."], done.stdout):
            self._wait_for_end(self.names["job_..."])
        return done.stdout

    def filled_in(self, command: str) -> str:
        text = command.replace("/JOB/", "/job_.../").replace(" KEY ", " key_... ").replace(" KEY", " key_...")
        for shown, real in {**SUBSTITUTIONS, **self.names, SERVER: self.url}.items():
            text = text.replace(shown, real)
        return text

    def _wait_for_end(self, job: str) -> None:
        deadline = time.monotonic() + JOB_TIMEOUT_S
        while time.monotonic() < deadline:
            paths = (f"/v1/{kind}/{job}" for kind in ("fine-tuning/jobs", "bulk-predictions", "screenings"))
            answers = [httpx2.get(self.url + path) for path in paths]
            found = next((answer.json() for answer in answers if answer.is_success), None)
            if found is None or found["status"] in TERMINAL:
                assert found is None or found["status"] == "succeeded", found
                return
            time.sleep(0.3)
