"""Signatures as Standard Webhooks defines them (standardwebhooks.com, version 1, symmetric)."""

import base64
import binascii
import hashlib
import hmac
import secrets

PREFIX = "whsec_"
MIN_BYTES, MAX_BYTES = 24, 64
_GENERATED_BYTES = 32


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(_GENERATED_BYTES)).decode()


def secret_bytes(secret: str) -> bytes:
    """The key that the text stands for. Raises ValueError, which never repeats the text."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise ValueError(
            f"A secret is '{PREFIX}' and then {MIN_BYTES} to {MAX_BYTES} random bytes in base64; "
            "leave it out where one is to be made."
        )
    return key


def signed_headers(delivery_id: str, timestamp: int, body: str, secret: str | None) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` (seconds since 1970) and, with a secret, `webhook-signature`."""
    headers = {"webhook-id": delivery_id, "webhook-timestamp": str(timestamp)}
    if secret is not None:
        content = f"{delivery_id}.{timestamp}.{body}".encode()
        digest = hmac.new(secret_bytes(secret), content, hashlib.sha256).digest()
        headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
    return headers
