"""Which revision a database is at, and which one the code needs."""

from dataclasses import dataclass

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from app.core.db import MIGRATIONS_FOLDER, READ_ONLY_OPTION


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Alembic revisions; `current` is None for a database that was never migrated."""

    current: str | None
    head: str | None

    @property
    def is_at_head(self) -> bool:
        return self.current == self.head


def schema_state(engine: Engine) -> SchemaState:
    """Raises sqlalchemy's OperationalError when the database cannot be reached."""
    head = ScriptDirectory(str(MIGRATIONS_FOLDER)).get_current_head()
    with engine.connect().execution_options(**{READ_ONLY_OPTION: True}) as connection:
        return SchemaState(MigrationContext.configure(connection).get_current_revision(), head)
