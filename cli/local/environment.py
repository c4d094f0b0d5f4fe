"""What each child of a local stack gets as its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from cli.stack.options import StackOptions, read_options
from shared.catalog.aliases import DEFAULT_MODEL_VARIABLE
from shared.catalog.deployments import DEFAULT_NAME, Catalog
from shared.catalog.load import load_catalog
from shared.domain.errors import ConfigurationError

DOTENV: Final = Path(".env")
POOL: Final = "worker.pool:AsyncioPool"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The caller's environment with `.env` of the current folder below it."""

    values: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls) -> "Surroundings":
        """What is set wins over what `.env` says. Raises ConfigurationError."""
        try:
            found = dotenv_values(DOTENV)
        except (OSError, UnicodeDecodeError) as error:
            reason = "not UTF-8" if isinstance(error, ValueError) else error.strerror
            message = f"{DOTENV} in this folder cannot be read: {reason}"
            raise ConfigurationError(message) from None
        below = {name: value for name, value in found.items() if value is not None}
        return cls({**below, **os.environ})

    def options(self) -> StackOptions:
        """What it says about the local stack. Raises ConfigurationError."""
        options = read_options(self.values)
        if options.database_url is None:
            return options
        return replace(options, database_url=_with_driver(options.database_url))

    def catalog(self, simulator_url: str | None = None) -> Catalog:
        """The catalog with the user's overlay. Raises ConfigurationError."""
        overlay = self.values.get("PROMPTMILL_CATALOG", "").strip()
        return load_catalog(
            Path(overlay) if overlay else None, simulator_url=simulator_url, variables=self.values
        )

    def default_model(self) -> str:
        """The model where the command line names none."""
        named = self.values.get(DEFAULT_MODEL_VARIABLE, "").strip()
        return named or self.catalog().aliases[DEFAULT_NAME]

    def has_any(self, variables: tuple[str, ...]) -> bool:
        """Whether a key is there, or none is wanted."""
        return not variables or any(self.values.get(name, "").strip() for name in variables)

    def for_child(self, *, keys: bool, **ours: str) -> dict[str, str]:
        """The environment of a child; provider keys only for those that call providers."""
        secret = {
            variable
            for provider in self.catalog().providers.values()
            for variable in provider.key_variables
        }
        kept = {name: value for name, value in self.values.items() if keys or name not in secret}
        return {**kept, "CELERY_CUSTOM_WORKER_POOL": POOL, **ours}


def _with_driver(url: str) -> str:
    """The same database in SQLAlchemy's words for psycopg 3."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        message = "DATABASE_URL: not a URL like postgresql://user:password@host:5432/database"
        raise ConfigurationError(message) from None
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
