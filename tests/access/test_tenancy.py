"""The rule that binds sessions to tenants: whatever is asked, nobody reads or writes another tenant's rows."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, Table, delete, exists, func, insert, select, text, union_all, update
from sqlalchemy.orm import Session, aliased, sessionmaker

import app.main  # noqa: F401 - every table of the service
from app.access.models import ApiKey, AuditEvent, Tenant
from app.core.db import open_session, session_factory
from app.core.errors import SharedReadOnly
from app.core.orm import Base
from app.core.settings import PROJECT_ROOT
from app.core.tenancy import Owned, TenantUnknown, of_tenant
from app.core.tenants import EVERY_TENANT, SHARED, SHARED_SCOPE, TenantScope
from app.datasets.models import Dataset
from app.jobs.models import Job, JobEvent
from app.registry.models import ModelAlias, ModelVersion, RegisteredModel

A, B = TenantScope("a"), TenantScope("b")

UNOWNED = {ApiKey, AuditEvent, Tenant}
"""What is about tenants rather than of one; no route hands out rows of these but `GET /v1/access` its own key."""

MAY_NAME_TABLES = {"app/jobs/metrics.py", "app/registry/models.py"}
"""Modules that go past the ORM: counts over all tenants, and the rule itself. Nothing below app/maintenance answers
requests."""


@pytest.fixture
def unbound(engine: Engine) -> sessionmaker[Session]:
    return session_factory(engine)


@pytest.fixture
def filled(unbound: sessionmaker[Session]) -> sessionmaker[Session]:
    """A job with an event and a model of each tenant, and a shared model; the factory is bound to none."""
    for scope in (A, B):
        with open_session(of_tenant(unbound, scope)) as session:
            session.add(Job(id=f"job_{scope.tenant}", kind="k", status="queued", spec={}, idempotency_key="same"))
            session.flush()
            session.add(
                JobEvent(job_id=f"job_{scope.tenant}", seq=1, level="info", kind="status", message="m", data={})
            )
            _add_model(session, "mine")
    with open_session(of_tenant(unbound, SHARED_SCOPE)) as session:
        _add_model(session, "shipped")
    return unbound


def _add_model(session: Session, name: str) -> None:
    session.add(RegisteredModel(name=name, property_key="band_gap", input_kind="structure"))
    session.flush()
    session.add(
        ModelVersion(
            id=f"mv_{name}_{id(session)}", model_name=name, version=1, architecture="cgcnn", weights_sha256="0",
            artifact_prefix="p", size_bytes=1, manifest={}, source="import",
        )
    )  # fmt: skip
    session.flush()
    session.add(ModelAlias(model_name=name, alias="champion", version=1))


def test_every_table_is_owned_or_known_not_to_be() -> None:
    mapped = {mapper.class_ for mapper in Base.registry.mappers}
    assert {cls for cls in mapped if not issubclass(cls, Owned)} == UNOWNED
    assert set(Owned.owned_classes) == mapped - UNOWNED
    for cls in Owned.owned_classes:
        table = cls.__table__  # type: ignore[attr-defined]
        assert isinstance(table, Table) and not table.c.tenant.nullable


def test_nothing_goes_past_the_orm() -> None:
    """`_narrow` sees ORM statements of sessions: neither tables nor bare connections may be used beside it."""
    found = set()
    for path in sorted((PROJECT_ROOT / "app").rglob("*.py")):
        name = path.relative_to(PROJECT_ROOT).as_posix()
        if not name.startswith(("app/maintenance/", "app/core/")):
            names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
            if names & {"__table__", "bulk_save_objects", "bulk_insert_mappings", "bulk_update_mappings"}:
                found.add(name)
    assert found == MAY_NAME_TABLES


IS_B = Job.id == "job_b"

READS: dict[str, Callable[[Session], object]] = {
    "get": lambda s: s.get(Job, "job_b"),
    "locked": lambda s: s.get(Job, "job_b", populate_existing=True, with_for_update=True),
    "select": lambda s: s.scalars(select(Job).where(IS_B)).all(),
    "column": lambda s: s.scalars(select(Job.id).where(IS_B)).all(),
    "count": lambda s: s.scalar(select(func.count()).select_from(Job).where(IS_B)),
    "alias": lambda s: s.scalars(select((j := aliased(Job)).id).where(j.id == "job_b")).all(),
    "join": lambda s: s.execute(select(Job.id).join(JobEvent, Job.id == JobEvent.job_id).where(IS_B)).all(),
    "subquery": lambda s: s.scalars(select(select(Job.id).where(IS_B).subquery().c.id)).all(),
    "cte": lambda s: s.scalars(select(select(Job.id).where(IS_B).cte().c.id)).all(),
    "in": lambda s: s.scalars(select(JobEvent).where(JobEvent.job_id.in_(select(Job.id).where(IS_B)))).all(),
    "union": lambda s: s.scalars(union_all(*[select(Job.id).where(IS_B)] * 2)).all(),
    "exists": lambda s: s.scalar(select(exists(select(Job.id).where(IS_B)))),
    "scalar subquery": lambda s: s.scalar(select(select(Job.id).where(IS_B).scalar_subquery())),
    "update": lambda s: s.execute(update(Job).where(IS_B).values(status="x")).rowcount,  # type: ignore[attr-defined]
    "delete": lambda s: s.execute(delete(JobEvent).where(JobEvent.job_id == "job_b")).rowcount,  # type: ignore[attr-defined]
}  # fmt: skip


@pytest.mark.parametrize("name", READS)
def test_foreign_rows_are_not_there(filled: sessionmaker[Session], name: str) -> None:
    with open_session(of_tenant(filled, A)) as session:
        assert not READS[name](session)
    with open_session(of_tenant(filled, B)) as session:
        assert READS[name](session)


@pytest.mark.parametrize(
    "statement",
    [select(Job.__table__.c.id), text("SELECT id FROM job"), insert(Job).values(id="j"), delete(Job.__table__)],  # type: ignore[arg-type]
)
def test_statements_that_cannot_be_narrowed_are_refused(filled: sessionmaker[Session], statement: object) -> None:
    with pytest.raises(TenantUnknown), open_session(of_tenant(filled, A)) as session:
        session.execute(statement)  # type: ignore[call-overload]


def test_a_session_of_no_tenant_reaches_nothing(filled: sessionmaker[Session]) -> None:
    for ask in (lambda s: s.get(Job, "job_a"), lambda s: s.scalar(select(func.count(JobEvent.id)))):
        with pytest.raises(TenantUnknown), open_session(filled) as session:
            ask(session)  # type: ignore[no-untyped-call]
    with pytest.raises(TenantUnknown), open_session(filled) as session:
        session.add(Dataset(id="ds_1"))


def test_rows_cannot_be_written_for_others_or_moved(filled: sessionmaker[Session]) -> None:
    with pytest.raises(TenantUnknown), open_session(of_tenant(filled, A)) as session:
        session.add(Job(id="job_x", tenant="b", kind="k", status="queued", spec={}))
    with pytest.raises(TenantUnknown), open_session(of_tenant(filled, A)) as session:
        session.get_one(Job, "job_a").tenant = "b"


def test_names_and_idempotency_keys_count_within_a_tenant(filled: sessionmaker[Session]) -> None:
    with open_session(of_tenant(filled, EVERY_TENANT)) as session:
        assert session.scalar(select(func.count()).where(RegisteredModel.name == "mine")) == 2
        assert session.scalar(select(func.count()).where(Job.idempotency_key == "same")) == 2


def test_shared_models_are_read_by_all_and_written_by_none(filled: sessionmaker[Session]) -> None:
    for scope in (A, B):
        with open_session(of_tenant(filled, scope)) as session:
            names = session.scalars(select(RegisteredModel.name).order_by(RegisteredModel.name)).all()
            assert names == ["mine", "shipped"]
            assert session.execute(update(ModelVersion).where(ModelVersion.model_name == "shipped").values(
                size_bytes=2)).rowcount == 0  # type: ignore[attr-defined]  # fmt: skip
        with pytest.raises(SharedReadOnly), open_session(of_tenant(filled, scope)) as session:
            session.scalars(select(ModelAlias).where(ModelAlias.model_name == "shipped")).one().revision = 2
        with pytest.raises(SharedReadOnly), open_session(of_tenant(filled, scope)) as session:
            session.add(RegisteredModel(tenant=SHARED, name="new", property_key="band_gap", input_kind="structure"))


def test_a_name_of_ones_own_hides_a_shared_one_from_nobody_else(filled: sessionmaker[Session]) -> None:
    with open_session(of_tenant(filled, SHARED_SCOPE)) as session:
        _add_model(session, "mine")
    with open_session(of_tenant(filled, A)) as session:
        assert session.scalars(select(ModelVersion.tenant).where(ModelVersion.model_name == "mine")).all() == ["a"]
    with open_session(of_tenant(filled, TenantScope("c"))) as session:
        assert session.scalars(select(ModelAlias.tenant).where(ModelAlias.model_name == "mine")).all() == [SHARED]


def test_the_operator_changes_shared_models_and_no_others(filled: sessionmaker[Session]) -> None:
    operator = TenantScope("c", may_write_shared=True)
    with open_session(of_tenant(filled, operator)) as session:
        session.scalars(select(ModelAlias)).one().revision = 5
        assert session.scalars(select(Job)).all() == []


def test_the_migrations_folder_has_one_head() -> None:
    revisions = [path.read_text() for path in Path(PROJECT_ROOT / "migrations/versions").glob("2*.py")]
    downs = [line for source in revisions for line in source.splitlines() if line.startswith("down_revision")]
    assert len(downs) == len(set(downs))
