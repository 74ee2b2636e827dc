"""API keys, tenants with quotas of their own, and the audit log, whose rows nobody can change.

Revision: 2026_11_21_access, after 2026_11_21_tenants.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_access"
down_revision = "2026_11_21_tenants"
branch_labels = None
depends_on = None

_NAME = sa.String(255)
_TENANT = sa.String(63)
_INSTANT = sa.DateTime(timezone=True)
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    tenant = op.create_table(
        "tenant",
        sa.Column("name", _TENANT, nullable=False),
        sa.Column("quotas", _JSON, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("name", name="pk_tenant"),
    )
    op.bulk_insert(tenant, [{"name": "default", "quotas": {}}])
    with op.batch_alter_table("tenant") as batch:
        batch.alter_column("created_at", existing_type=_INSTANT, existing_nullable=False, server_default=None)
    op.create_table(
        "api_key",
        sa.Column("id", _NAME, nullable=False),
        sa.Column("prefix", _NAME, nullable=False),
        sa.Column("sha256", _NAME, nullable=False),
        sa.Column("tenant", _TENANT, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("scopes", _JSON, nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("replaces", _NAME, nullable=True),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=True),
        sa.Column("revoked_at", _INSTANT, nullable=True),
        sa.Column("last_used_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.UniqueConstraint("prefix", name="uq_api_key_prefix"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.name"], name="fk_api_key_tenant_tenant"),
    )
    op.create_index("ix_api_key_tenant", "api_key", ["tenant"])
    _create_audit_log()


def _create_audit_log() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("tenant", _NAME, nullable=True),
        sa.Column("actor", _NAME, nullable=False),
        sa.Column("key_id", _NAME, nullable=True),
        sa.Column("address", _NAME, nullable=False),
        sa.Column("action", _NAME, nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("outcome", _NAME, nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("request_id", _NAME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
    )
    op.create_index("ix_audit_event_at", "audit_event", ["at"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change_of_audit_event() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit_event()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_event_refuses_{change.lower()} BEFORE {change} ON audit_event "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def downgrade() -> None:
    for table in ("audit_event", "api_key", "tenant"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change_of_audit_event")
