"""Tenants that cannot see each other: what a session reads and writes is bound to its tenant, whatever is asked.

A factory of sessions is bound with `of_tenant`; a session of an unbound one cannot touch a table with a tenant at all.
Every ORM query of a bound session, its subqueries and joins included, is narrowed to what the tenant may see; new rows
get the tenant; changes of other tenants' rows are refused. Statements that the ORM cannot narrow are refused.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, Executable, String, Table, TextClause, event, inspect
from sqlalchemy.orm import Mapped, ORMExecuteState, Session, mapped_column, sessionmaker, with_loader_criteria
from sqlalchemy.sql.visitors import iterate

from app.core.errors import SharedReadOnly
from app.core.tenants import EVERY_TENANT, MAX_TENANT_LENGTH, SHARED, TenantScope

ALL_TENANTS = "all_tenants"
"""Execution option of a query that an operator's session may ask across tenants: who uses what is shared."""

_SCOPE = "tenant_scope"


class TenantUnknown(RuntimeError):
    """A programming error: a session that nobody bound to a tenant, or a statement that cannot be narrowed to one."""


class Owned:
    """Mixin of every table whose rows belong to a tenant."""

    owned_classes: ClassVar[list[type["Owned"]]] = []

    tenant: Mapped[str] = mapped_column(String(MAX_TENANT_LENGTH))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "__tablename__"):
            Owned.owned_classes.append(cls)

    @classmethod
    def visible_to(cls, tenant: str) -> ColumnElement[bool]:
        """Which rows the tenant may read."""
        return cls.tenant == tenant


class TenantSessions(sessionmaker[Session]):
    """A factory whose sessions are bound; they are of the same class, so listeners of the first factory hear them."""

    def __init__(self, factory: sessionmaker[Session], scope: TenantScope) -> None:
        self.kw = {**factory.kw, "info": {_SCOPE: scope}}
        self.class_ = factory.class_


def of_tenant(factory: sessionmaker[Session], scope: TenantScope) -> sessionmaker[Session]:
    """The factory, bound to a tenant."""
    return TenantSessions(factory, scope)


def scope_of(session: Session) -> TenantScope:
    """Raises TenantUnknown for a session of an unbound factory."""
    scope = session.info.get(_SCOPE)
    if not isinstance(scope, TenantScope):
        raise TenantUnknown("this session is bound to no tenant: make it with a factory of `of_tenant`")
    return scope


@event.listens_for(Session, "do_orm_execute")
def _narrow(state: ORMExecuteState) -> None:
    scope = state.session.info.get(_SCOPE)
    if scope == EVERY_TENANT or (_is_operator(scope) and state.execution_options.get(ALL_TENANTS)):
        return
    if isinstance(scope, TenantScope) and state.is_orm_statement and not state.is_insert:
        assert scope.tenant is not None
        is_write = state.is_update or state.is_delete
        options = _criteria(scope, is_write, len(Owned.owned_classes))
        state.statement = state.statement.options(*options)
    elif isinstance(state.statement, TextClause) or _names_owned(state.statement):
        bound = f"of tenant {scope.tenant}" if isinstance(scope, TenantScope) else "bound to no tenant"
        raise TenantUnknown(f"a session {bound} cannot run this: {state.statement}")


def _is_operator(scope: TenantScope | None) -> bool:
    return scope is not None and scope.may_write_shared


@lru_cache(maxsize=512)
def _criteria(scope: TenantScope, is_write: bool, _n_classes: int) -> tuple[Any, ...]:
    return tuple(with_loader_criteria(cls, _allowed(cls, scope, is_write), True, True) for cls in Owned.owned_classes)


def _allowed(cls: type[Owned], scope: TenantScope, is_write: bool) -> ColumnElement[bool]:
    assert scope.tenant is not None
    return cls.tenant.in_(scope.writable) if is_write else cls.visible_to(scope.tenant)


def _names_owned(statement: Executable) -> bool:
    owned = {inspect(cls).local_table for cls in Owned.owned_classes}
    return any(isinstance(part, Table) and part in owned for part in _parts(statement))


def _parts(statement: Executable) -> Iterator[Any]:
    for part in iterate(statement):  # type: ignore[arg-type]
        yield part
        # An annotated table, as ORM statements have them, is a copy of the plain one.
        if (plain := getattr(part, "_deannotate", None)) is not None and getattr(part, "is_selectable", False):
            yield plain()
    yield getattr(statement, "table", None)


@event.listens_for(Session, "before_flush")
def _check_writes(session: Session, *_: Any) -> None:
    if not (session.new or session.dirty or session.deleted):
        return
    _give_tenant(session, session.new)
    for row in (*session.dirty, *session.deleted):
        if isinstance(row, Owned) and (row in session.deleted or session.is_modified(row)):
            if inspect(row).attrs.tenant.history.has_changes():
                raise TenantUnknown(f"a row of {type(row).__name__} cannot change its tenant")
            require_writable(session, row)


def _give_tenant(session: Session, rows: Iterable[object]) -> None:
    for row in rows:
        if isinstance(row, Owned):
            if row.tenant is None:
                row.tenant = own_tenant(session)
            require_writable(session, row)


def own_tenant(session: Session) -> str:
    """To whom new rows of the session belong."""
    tenant = scope_of(session).tenant
    if tenant is None:
        raise TenantUnknown("a new row names no tenant, and the session belongs to none")
    return tenant


def require_writable(session: Session, row: Owned) -> None:
    """Raises SharedReadOnly for a shared row that the session may only read."""
    scope = scope_of(session)
    if scope.may_write(row.tenant):
        return
    if row.tenant == SHARED:
        raise SharedReadOnly("The models that come with this service are shared: only its operator changes them.")
    raise TenantUnknown(f"a session of tenant {scope.tenant} cannot write a row of another")
