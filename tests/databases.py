"""Databases of a test's own, copied from one that was migrated once."""

from collections.abc import Iterator
from contextlib import contextmanager

from cli.stack.servers import Servers

TEMPLATE = "promptmill_template"


@contextmanager
def own_database(servers: Servers, name: str) -> Iterator[str]:
    """A migrated database, dropped afterwards; its URL in SQLAlchemy's form."""
    yield servers.create_database(name, template=TEMPLATE)
    servers.drop_database(name)
