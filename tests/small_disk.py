"""A file system that is soon full, for a script in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.core.settings import PROJECT_ROOT

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
"""In a namespace of its own even an ordinary user may mount."""


def run_on_small_disk(script: str, folder: Path, size: str) -> "subprocess.CompletedProcess[str]":
    """Run Python code with `folder`, where a file system of `size` (as mount takes it) is mounted, as its argument."""
    inside = f'mount -t tmpfs -o size={size} none {folder} && exec "$@"'
    try:
        subprocess.run([*NAMESPACE, "sh", "-c", inside, "sh", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets no user mount a small file system")
    command = [*NAMESPACE, "sh", "-c", inside, "sh", sys.executable, "-c", script, str(folder)]
    return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)
