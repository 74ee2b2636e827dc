"""Alembic environment, run by `app.core.db`, which passes the URL of the database."""

from alembic import context
from sqlalchemy import text

import app.access.models
import app.bulk.models
import app.datasets.models
import app.jobs.models
import app.registry.models
import app.webhooks.models  # noqa: F401  (the imports fill Base.metadata)
from app.core.db import create_engine_for
from app.core.orm import Base

# Any number will do as long as it never changes: processes that start at once wait for each other.
MIGRATION_LOCK = 0x7874616C


def run_migrations() -> None:
    engine = create_engine_for(context.config.attributes["url"], enforce_foreign_keys=False)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            context.configure(
                connection=connection,
                target_metadata=Base.metadata,
                render_as_batch=connection.dialect.name == "sqlite",
                transactional_ddl=True,
                compare_type=True,
            )
            context.run_migrations()
    finally:
        engine.dispose()


run_migrations()
