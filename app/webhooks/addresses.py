"""Where messages may go: a receiver must not make this service call what only this service can reach."""

import ipaddress
import socket
from urllib.parse import urlsplit

from app.core.errors import WebhookRefused

MAX_URL_LENGTH = 2000
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        # Where clouds keep credentials, beside link-local addresses: AWS, Oracle, Azure.
        "fd00:ec2::254/128", "192.0.0.192/32", "168.63.129.16/32",
        # Reserved by IANA; versions of Python differ about them.
        "192.0.0.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16",
    )
)  # fmt: skip
_INNER_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def checked_url(url: str) -> str:
    """The URL. Raises ValueError for what can be no receiver; where its name leads is looked at when it is used."""
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if any(ord(character) <= 32 or ord(character) > 126 for character in url):
        raise ValueError("The URL holds a character that URLs have to escape (RFC 3986), such as a space.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("This is no URL.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("Give a URL that begins with https:// (or http://) and names a host.")
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(
            "The host in the URL is no name: a part of it is empty or longer than 63 characters."
        ) from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("The URL holds a user name or password; use a secret instead, with which messages are signed.")
    if parts.fragment:
        raise ValueError("The URL has a part after '#', which is never sent: leave it out.")
    return url


def refuse_inner(url: str, *, allow_private: bool) -> None:
    """Raises WebhookRefused for a URL that itself says that it leads inside."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host in _INNER_NAMES and not allow_private:
        raise WebhookRefused(_sentence(host))
    try:
        require_allowed(ipaddress.ip_address(host), allow_private=allow_private)
    except ValueError:  # a name
        return


def resolved(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses to connect to. Raises WebhookRefused when one of them is none to send to, OSError for no answer."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        require_allowed(ipaddress.ip_address(address.partition("%")[0]), allow_private=allow_private)
    return addresses


def require_allowed(address: Address, *, allow_private: bool) -> None:
    """Raises WebhookRefused. Link-local addresses and others where clouds keep their credentials are never allowed."""
    for each in (address, *_inside(address)):
        if any(each in network for network in _NEVER):
            raise WebhookRefused(_sentence(str(address)))
        is_public = each.is_global and not each.is_multicast and not each.is_reserved
        is_inner = each.is_loopback or (
            each.is_private and not (each.is_link_local or each.is_multicast or each.is_unspecified or each.is_reserved)
        )
        # What carries another address is judged by that one.
        if each is address and _inside(address):
            continue
        if not is_public and not (allow_private and is_inner):
            raise WebhookRefused(_sentence(str(address)))


def _inside(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address stands for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    if address.teredo is not None:
        found.extend(address.teredo)
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]


def _sentence(host: str) -> str:
    return (
        f"{host} is an address inside the network of this service; messages go to public ones only, unless its "
        "administrator sets XTALFORGE_WEBHOOKS__ALLOW_PRIVATE."
    )
