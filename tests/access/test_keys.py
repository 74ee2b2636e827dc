"""Keys and quotas in SQL, on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from app.access.audit import AuditTrail, Entry, read_events
from app.access.keyring import KeyRing
from app.access.models import ApiKey, AuditEvent
from app.access.quotas import Quota, TenantQuotas, require_room
from app.access.service import AccessService, KeyNotFound
from app.access.tokens import digest, is_same, new_token, prefix_of
from app.core.db import open_session
from app.core.errors import InvalidName, InvalidRequest, KeyInvalid, QuotaExceeded
from app.core.orm import utc_now
from app.core.principal import KeyScope
from app.core.settings import JobSettings
from app.core.tenancy import of_tenant
from app.core.tenants import TenantScope
from app.jobs.service import JobService

HOUR = timedelta(hours=1)


def _make(unbound: sessionmaker[Session], tenant: str = "lab") -> str:
    with open_session(unbound) as session:
        return AccessService(session, "test").create_key("k", tenant, [KeyScope.TRAIN], None).token


def test_tokens() -> None:
    made = new_token()
    assert prefix_of(made.token) == made.prefix and len(made.token) == 57
    assert made.sha256 == digest(made.token) and is_same(made.token, made.sha256)
    assert not is_same(made.token, new_token().sha256)
    assert [prefix_of(text) for text in ("", "xf_", made.token + "A", made.token[:-1], made.token.upper())] == [
        None
    ] * 5


def test_the_key_itself_is_not_stored(unbound: sessionmaker[Session]) -> None:
    token = _make(unbound)
    with open_session(unbound, read_only=True) as session:
        (key,) = session.scalars(select(ApiKey))
        stored = [str(getattr(key, column.key)) for column in ApiKey.__table__.columns]
        events = [str(vars(event)) for event in session.scalars(select(AuditEvent))]
    secret = token.split("_", 2)[2]
    assert not any(secret in text for text in (*stored, *events)) and len(events) == 1


def test_a_revoked_key_is_believed_for_the_time_of_the_cache_at_most(unbound: sessionmaker[Session]) -> None:
    token = _make(unbound)
    patient, hasty = KeyRing(unbound, 60.0), KeyRing(unbound, 0.001)
    assert patient.remembered(token) is None
    assert patient.verify(token).tenant == hasty.verify(token).tenant == "lab"
    assert patient.remembered(token) is not None
    with open_session(unbound) as session:
        access = AccessService(session, "test")
        first = access.revoke_key(prefix_of(token) or "").revoked_at
        assert access.revoke_key(prefix_of(token) or "").revoked_at == first
    assert patient.remembered(token) is not None
    assert hasty.remembered(token) is None
    with pytest.raises(KeyInvalid):
        hasty.verify(token)


def test_use_is_noted(unbound: sessionmaker[Session]) -> None:
    token = _make(unbound)
    ring = KeyRing(unbound, 5.0)
    ring.verify(token)
    with open_session(unbound, read_only=True) as session:
        first = session.scalars(select(ApiKey)).one().last_used_at
    ring.verify(token)
    with open_session(unbound, read_only=True) as session:
        assert session.scalars(select(ApiKey)).one().last_used_at == first is not None


def test_rotation_keeps_rights_and_never_lengthens_a_life(unbound: sessionmaker[Session]) -> None:
    with open_session(unbound) as session:
        access = AccessService(session, "test")
        old = access.create_key("k", "lab", [KeyScope.PREDICT], utc_now() + HOUR, 7).key
        end = old.expires_at
        new = access.rotate_key(old.id, 10 * HOUR, None).key
        assert (new.tenant, new.scopes, new.requests_per_minute, new.replaces) == ("lab", ["predict"], 7, old.id)
        assert old.expires_at == end and new.sha256 != old.sha256
        access.revoke_key(old.id)
        with pytest.raises(InvalidRequest):
            access.rotate_key(old.id, HOUR, None)
        with pytest.raises(KeyNotFound):
            access.revoke_key("key_none")


@pytest.mark.parametrize("tenant", ["", "shared", "Lab", "a/b", "x" * 64, "-a"])
def test_names_that_no_tenant_can_have(unbound: sessionmaker[Session], tenant: str) -> None:
    with pytest.raises(InvalidName):
        _make(unbound, tenant)


def test_the_audit_log_takes_entries_and_no_changes(unbound: sessionmaker[Session]) -> None:
    trail = AuditTrail(unbound)
    entry = Entry("lab", "k", None, "192.0.2.1", "POST /v1/x", "/v1/x\0", 403, "r", "why")
    for _ in range(1200):
        trail.note(entry)
    trail.flush()
    trail.flush()
    with open_session(unbound, read_only=True) as session:
        found = read_events(session, tenant="lab", outcome="refused", since=utc_now() - HOUR, limit=5000)
        assert len(found) == 1000 and "\0" not in found[0].object
    for change in (_change_actor, Session.delete):
        with pytest.raises(DBAPIError, match="append-only"), open_session(unbound) as session:
            change(session, session.get_one(AuditEvent, found[0].id))


def _change_actor(_: Session, event: AuditEvent) -> None:
    event.actor = "nobody"


def test_quotas_of_settings_and_of_tenants(unbound: sessionmaker[Session]) -> None:
    _make(unbound)
    factory = of_tenant(unbound, TenantScope("lab"))
    settings = JobSettings(open_per_tenant=1)

    def submit(key: str | None = None) -> None:
        with open_session(factory) as session:
            JobService(session, settings).create("k", {}, key, "same" if key else None)

    submit("once")
    submit("once")  # the same job again
    with pytest.raises(QuotaExceeded) as refusal:
        submit()
    assert refusal.value.context == {"quota": Quota.OPEN_JOBS, "limit": 1, "used": 1}
    with open_session(unbound) as session:
        AccessService(session, "test").set_quotas("lab", {Quota.OPEN_JOBS: 2})
    submit()
    with pytest.raises(QuotaExceeded):
        submit()
    with open_session(unbound) as session:
        AccessService(session, "test").set_quotas("lab", {Quota.OPEN_JOBS: 0})
    submit()
    with open_session(of_tenant(unbound, TenantScope("other"))) as session:
        JobService(session, settings).create("k", {})
        assert TenantQuotas(session).limit(Quota.DATASETS, 5) == 5


def test_room() -> None:
    require_room(Quota.DATASET_BYTES, 0, 10**12, 10**12)
    require_room(Quota.DATASET_BYTES, 100, 60, 40)
    with pytest.raises(QuotaExceeded, match="Delete some"):
        require_room(Quota.DATASET_BYTES, 100, 60, 41)
