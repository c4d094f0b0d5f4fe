"""Bring a database's schema to the newest step."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

MIGRATION_LOCK = 7_267_153_400
"""Any constant: two processes that migrate at once take turns on it."""


def newest() -> str:
    """The last step of the schema that this version of Promptmill knows."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def migrate(database_url: str, revision: str = "head") -> None:
    """Upgrade the schema at `database_url` (SQLAlchemy form); harmless when up to date."""
    config = _config()
    engine = create_engine(database_url)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("shared.db") / "migrations"))
    return config
