"""How alembic runs our migrations: on the connection that `persistence.migrate` holds, and on no other."""

from alembic import context

from persistence.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, version_table="signoff_version")
with context.begin_transaction():
    context.run_migrations()
