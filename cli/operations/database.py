"""The database that an operator's word is for: a given one, a running stack's, or one at rest."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cli.local.environment import Surroundings
from cli.local.given import require_database
from cli.stack.errors import StackError
from cli.stack.home import Home
from cli.stack.servers import Servers

POSTGRES_DATA: Final = "pg[0-9]*"


@contextmanager
def reachable_database(*, may_make: bool = False) -> Iterator[str]:
    """Its URL in SQLAlchemy's form: DATABASE_URL, or that of this home's local stack.

    Of a stack that does not run, the databases alone are started for the length of the
    block. Raises StackError when the home has none and none `may_make`.
    """
    options = Surroundings.read().options()
    if options.database_url is not None:
        asyncio.run(require_database(options.database_url))
        yield options.database_url
        return
    home = Home(options.home)
    if home.launcher() is not None:
        url = home.read_state().database_url
        if url is None:
            raise StackError(f"the stack in {home.root} is still starting: try again in a moment")
        yield url
        return
    if not may_make and not any(home.root.glob(POSTGRES_DATA)):
        raise StackError(
            f"no stack was ever started in {home.root}: set DATABASE_URL, or PROMPTMILL_HOME "
            "to the folder of your stack"
        )
    with _at_rest(home) as url:
        yield url


@contextmanager
def _at_rest(home: Home) -> Iterator[str]:
    home.create()
    lock = home.take_lock()
    servers = Servers(Surroundings.read().options(), lock)
    try:
        servers.prepare()
        servers.start()
        yield servers.database_url
    finally:
        servers.stop()
        lock.release()
