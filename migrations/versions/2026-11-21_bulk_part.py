"""Finished parts of bulk predictions.

Revision: 2026_11_21_bulk_part, after 2026_11_21_initial.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_bulk_part"
down_revision = "2026_11_21_initial"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bulk_part",
        sa.Column("job_id", sa.String(255), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n_inputs", sa.Integer(), nullable=False),
        sa.Column("n_failed", sa.Integer(), nullable=False),
        sa.Column("n_lines", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_bulk_part_job_id_job"),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_bulk_part"),
    )


def downgrade() -> None:
    op.drop_table("bulk_part")
