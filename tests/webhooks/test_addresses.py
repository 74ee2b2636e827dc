"""Where messages may go."""

import ipaddress
import socket

import pytest

from app.core.errors import WebhookRefused
from app.webhooks.addresses import checked_url, refuse_inner, require_allowed, resolved

INSIDE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "0.0.0.0", "169.254.169.254",
    "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1",
    "2001:0:7f00:1::1", "192.0.0.192", "168.63.129.16", "64:ff9b:1::7f00:1", "3fff::1", "5f00::1",
]  # fmt: skip
OUTSIDE = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
NEVER = ["169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
         "fd00:ec2::254", "192.0.0.192", "::ffff:192.0.0.192", "168.63.129.16"]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_are_refused(address: str) -> None:
    with pytest.raises(WebhookRefused, match="inside the network"):
        require_allowed(ipaddress.ip_address(address), allow_private=False)


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses_are_not(address: str) -> None:
    require_allowed(ipaddress.ip_address(address), allow_private=False)


@pytest.mark.parametrize("address", NEVER)
def test_no_setting_allows_link_local_addresses(address: str) -> None:
    with pytest.raises(WebhookRefused):
        require_allowed(ipaddress.ip_address(address), allow_private=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "fc00::1", "::ffff:10.0.0.1", "8.8.8.8"])
def test_a_setting_allows_private_ones(address: str) -> None:
    require_allowed(ipaddress.ip_address(address), allow_private=True)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost"])
def test_other_spellings_of_the_loopback(host: str) -> None:
    with pytest.raises(WebhookRefused):
        resolved(host, 80, allow_private=False)


def test_one_bad_address_among_several_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads outside and inside is a trick, or will be one."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(WebhookRefused, match=r"10\.0\.0\.1"):
        resolved("two.example.org", 80, allow_private=False)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org", "//example.org", "https://", "https://user:pw@example.org/", "https://example.org/a b",
     "https://example.org/#top", "https://example.org:99999/", "https://[::1/", "file:///etc/passwd", "x" * 3000,
     f"https://{'a' * 64}.org/", "https://a..org/", "https://./"],
)  # fmt: skip
def test_what_is_no_receiver(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL"):
        checked_url(url)


@pytest.mark.parametrize(
    "url", ["http://localhost:8000/", "https://127.0.0.1/x", "http://[::1]/", "http://LOCALHOST./"]
)
def test_urls_that_say_themselves_that_they_lead_inside(url: str) -> None:
    with pytest.raises(WebhookRefused):
        refuse_inner(checked_url(url), allow_private=False)
    refuse_inner(url, allow_private=True)
