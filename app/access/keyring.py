"""Keys as requests bring them, verified against SQL and then believed for a few seconds."""

import hashlib
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import exists, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.access.models import ApiKey
from app.access.service import state_of
from app.access.tokens import digest, is_same, prefix_of
from app.core.db import open_session
from app.core.errors import KeyExpired, KeyInvalid
from app.core.orm import utc_now
from app.core.principal import KeyScope, Principal

USE_NOTED_EVERY = timedelta(minutes=10)
MAX_REMEMBERED = 10_000

_NOBODYS_SHA256 = digest("")


class _Verified(NamedTuple):
    principal: Principal
    until: float


class KeyRing:
    """Thread-safe. It remembers hashes of keys, never keys."""

    def __init__(self, sessions: sessionmaker[Session], cache_s: float) -> None:
        self._sessions = sessions
        self._cache_s = cache_s
        self._verified: dict[bytes, _Verified] = {}
        self._lock = threading.Lock()
        self._has_keys = False
        self._looked_at = float("-inf")

    def remembered(self, token: str) -> Principal | None:
        """Who that key stands for, if it was verified within the last seconds; it never waits."""
        found = self._verified.get(hashlib.sha256(token.encode()).digest())
        return found.principal if found is not None and time.monotonic() < found.until else None

    def verify(self, token: str) -> Principal:
        """Ask the database. Raises KeyInvalid, also for a revoked key, and KeyExpired."""
        # Counted from before the question: the answer may be that old.
        asked_at, now = time.monotonic(), utc_now()
        prefix = prefix_of(token)
        with open_session(self._sessions, read_only=True) as session:
            key = session.scalar(select(ApiKey).where(ApiKey.prefix == prefix)) if prefix is not None else None
        # The comparison is made for unknown keys too, so that both take the same time.
        is_right = is_same(token, key.sha256 if key is not None else _NOBODYS_SHA256)
        if key is None or not is_right or key.revoked_at is not None:
            raise KeyInvalid("The service does not know this key, or it was revoked.")
        if state_of(key, now) == "expired":
            raise KeyExpired(f"This key expired at {key.expires_at:%F %T} UTC. Ask for a new one.")
        scopes = frozenset(KeyScope(scope) for scope in key.scopes)
        principal = Principal(key.tenant, scopes, key.id, key.name, key.requests_per_minute)
        left_s = (key.expires_at - now).total_seconds() if key.expires_at is not None else self._cache_s
        with self._lock:
            if len(self._verified) >= MAX_REMEMBERED:
                self._verified.clear()
            remembered = hashlib.sha256(token.encode()).digest()
            self._verified[remembered] = _Verified(principal, asked_at + min(self._cache_s, left_s))
        self._note_use(key)
        return principal

    def has_keys(self) -> bool | None:
        """Whether a key was ever made, as far as is known; None = it is time to `look`. It never waits."""
        if self._has_keys:
            return True
        return False if time.monotonic() - self._looked_at < self._cache_s else None

    def look(self) -> bool:
        """Whether a key was ever made: a revoked or expired one counts, so that the service never opens by itself."""
        asked_at = time.monotonic()
        with open_session(self._sessions, read_only=True) as session:
            self._has_keys = bool(session.scalar(select(exists(select(ApiKey.id)))))
        self._looked_at = asked_at
        return self._has_keys

    def _note_use(self, key: ApiKey) -> None:
        now = utc_now()
        if key.last_used_at is not None and now - key.last_used_at < USE_NOTED_EVERY:
            return
        # A note that nobody could write is no reason to refuse a key.
        with suppress(SQLAlchemyError), open_session(self._sessions) as session:
            session.execute(update(ApiKey).where(ApiKey.id == key.id).values(last_used_at=now))
