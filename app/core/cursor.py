"""Opaque cursors of lists: the sort key of the last item, so that a page never repeats or skips one."""

import base64
import binascii
import json
from datetime import UTC, datetime

from app.core.errors import InvalidRequest


def encode_cursor(*key: str | int) -> str:
    """The cursor that stands after the item with that sort key."""
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type[str] | type[int]) -> list[str | int]:
    """The sort key again; InvalidRequest when the text is no cursor of a list with such keys."""
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        key = None
    if not isinstance(key, list) or [type(part) for part in key] != list(types) or not _is_storable(key):
        raise InvalidRequest(f"cursor {cursor[:40]!r} is not one this list handed out: send `next` as it came.")
    return key


def decode_instant_cursor(cursor: str) -> tuple[datetime, str]:
    """When the last item of the page before was made, and its id. Raises InvalidRequest."""
    created_at, item_id = decode_cursor(cursor, str, str)
    try:
        instant = datetime.fromisoformat(str(created_at)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest("The cursor is not one this list handed out: send `next` as it came.") from None
    return instant, str(item_id)


def _is_storable(key: list[str | int]) -> bool:
    """Whether a database takes the key: numbers it can hold, text of real characters."""
    return all(part.isprintable() if isinstance(part, str) else abs(part) < 2**31 for part in key)
