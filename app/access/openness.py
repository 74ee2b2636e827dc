"""When the service may be used without a key: on the loopback, as long as nobody ever made one."""

import ipaddress
from functools import lru_cache
from typing import Any

from app.core.errors import XtalforgeError

_LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")


class KeysNeeded(XtalforgeError):
    """The service would be open to everybody who reaches it."""

    code, title = "keys_needed", "The service would be open"


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach that address."""
    if host in _LOOPBACK_NAMES:
        return True
    address = address_of(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address is not None and address.is_loopback


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def came_by_loopback(server: Any) -> bool:
    """Whether a request was received on the loopback; `server` as in the ASGI scope, (host, port)."""
    if not server or server[1] is None:  # a socket in the file system, which something else put there to be reached
        return False
    host = str(server[0])
    return is_loopback(host) or address_of(host) is None


def is_harmless_name(host: str) -> bool:
    """Whether no other site can have pointed a name of its own at this machine: an address, or a name without a dot."""
    return "." not in host or address_of(host) is not None or host.endswith(".localhost")


def refuse_open(host: str, keys: str, *, has_keys: bool) -> None:
    """Raises KeysNeeded for a service that listens where others reach it and asks nobody for a key."""
    if keys == "auto" and not has_keys and not is_loopback(host):
        raise KeysNeeded(
            f"On {host} everybody who reaches this machine could use the service, see all data and change all models. "
            "Make a key first (`xtalforge keys create NAME --scope admin`): then requests need one. Or listen on "
            "127.0.0.1. To let everybody in all the same, set XTALFORGE_ACCESS__KEYS=off."
        )
