"""Shards of jobs that several workers share.

Revision: 2026_11_21_job_shard, after 2026_11_21_webhooks.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_job_shard"
down_revision = "2026_11_21_webhooks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_shard",
        sa.Column("job_id", sa.String(255), nullable=False),
        sa.Column("first", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("input_rows", sa.Integer(), nullable=True),
        sa.Column("token", sa.String(255), nullable=True),
        sa.Column("worker_id", sa.String(255), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_job_shard_job_id_job"),
        sa.PrimaryKeyConstraint("job_id", "first", name="pk_job_shard"),
    )


def downgrade() -> None:
    op.drop_table("job_shard")
