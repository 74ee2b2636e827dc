"""A process forked while a thread of its parent writes to SQLite can write there too."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sqlite3, sys, threading, time
from contextlib import nullcontext
from workers.forking import lock_that_delays_forks

path, guarded = sys.argv[1], sys.argv[2] == "guarded"
first = sqlite3.connect(path, isolation_level=None)
first.execute("PRAGMA journal_mode=WAL")
first.execute("CREATE TABLE t (x)")
first.close()
guard = lock_that_delays_forks() if guarded else nullcontext()
inside = threading.Event()

def write_slowly():
    with guard:
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        inside.set()
        time.sleep(0.5)
        writer.execute("COMMIT")

thread = threading.Thread(target=write_slowly)
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    try:
        own = sqlite3.connect(path, isolation_level=None, timeout=2)
        own.execute("INSERT INTO t VALUES (1)")
    except sqlite3.OperationalError as error:
        print(error, flush=True)
        os._exit(1)
    os._exit(0)
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def run(database: Path, mode: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", SCRIPT, str(database), mode]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_the_fork_waits_for_the_end_of_the_transaction(tmp_path: Path) -> None:
    answer = run(tmp_path / "guarded.db", "guarded")
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may lock in another way")
def test_without_it_the_child_finds_the_database_locked(tmp_path: Path) -> None:
    answer = run(tmp_path / "bare.db", "bare")
    assert (answer.returncode, answer.stdout.strip()) == (1, "database is locked")
