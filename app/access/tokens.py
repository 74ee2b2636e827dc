"""API keys as text: `xf_PREFIX_SECRET`. The prefix finds the row and may be shown; the secret is 256 random bits.

So much randomness cannot be guessed from its hash, hence one SHA-256 is enough and a slow password hash is not needed.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

SECRET_BYTES = 32
_PREFIX_BYTES = 5
_TOKEN = re.compile(r"xf_([0-9a-f]{10})_[A-Za-z0-9_-]{43}")


class NewToken(NamedTuple):
    """A key that was just made: its text exists nowhere else."""

    token: str
    prefix: str
    sha256: str


def new_token() -> NewToken:
    prefix = secrets.token_hex(_PREFIX_BYTES)
    token = f"xf_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return NewToken(token, prefix, digest(token))


def prefix_of(token: str) -> str | None:
    """None for a text that can be no key."""
    found = _TOKEN.fullmatch(token)
    return found[1] if found else None


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def is_same(token: str, sha256: str) -> bool:
    """Whether the token has this hash, in a time that says nothing about how much of it fits."""
    return hmac.compare_digest(digest(token), sha256)
