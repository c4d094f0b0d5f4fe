"""Connections to Postgres, and the one place that opens and commits a transaction."""

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

SESSION_SETTINGS: Final = {
    # A frozen holder of locks is ended by Postgres, not waited for.
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    # Batches differ in size and tables grow from empty: a stale generic plan costs more
    # than planning does.
    "plan_cache_mode": "force_custom_plan",
    "timezone": "UTC",
}
# To plan such a statement costs more than to run it: it is planned once. Without whole reads of a
# table the plan that was made while it was empty is good when it is full. What has no index seems
# dear then, to Postgres before 18 dear enough to be compiled.
BY_IDS_SETTINGS: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
}
# A peer that vanished without a word is noticed in seconds, not after the kernel's quarter
# of an hour.
NETWORK_SETTINGS: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
TOO_COMPLEX: Final = "54"
"""The class of errors that say that a statement exceeds what Postgres can take at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What the connections of a pool are for."""

    durable: bool = True
    """Without it a commit does not wait for the disk: a crash of Postgres may undo the last of
    them, in their order, and never one that a durable commit came after."""
    by_ids: bool = False
    """A few statements that come often and find all of their rows by ids."""
    alone: bool = False
    """Each statement is a transaction by itself: nothing is sent to begin and to end one."""

    @property
    def session(self) -> dict[str, str]:
        """The settings of its sessions."""
        commit = {} if self.durable else {"synchronous_commit": "off"}
        return SESSION_SETTINGS | commit | (BY_IDS_SETTINGS if self.by_ids else {})

    @property
    def connection(self) -> dict[str, Any]:
        """Of psycopg: a statement is prepared at its first use, not at its sixth."""
        return {"prepare_threshold": 0} if self.by_ids else {}

    @property
    def engine(self) -> dict[str, Any]:
        """Of SQLAlchemy."""
        return {"isolation_level": "AUTOCOMMIT"} if self.alone else {}


ANY_USE: Final = Use()


class Database:
    """A pool of connections to one database."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        name: str = "promptmill",
        use: Use = ANY_USE,
        patience: float = 10.0,
    ) -> None:
        """Open nothing yet; `patience`: seconds that a transaction waits for a free connection."""
        self._engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=patience,
            # The words of a failed statement would quote prompts.
            hide_parameters=True,
            connect_args={
                "options": " ".join(f"-c {key}={value}" for key, value in use.session.items()),
                "application_name": name,
                **NETWORK_SETTINGS,
                **use.connection,
            },
            **use.engine,
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_the_closed)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Of a pool whose statements stand alone: a connection, and a transaction for each of them.
        """
        async with self._engine.begin() as connection:
            yield connection

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _refuse_the_closed(adapted: Any, *_: object) -> None:
    """Let the pool connect anew where the server has hung up meanwhile, without asking it.

    Nothing comes unasked but a farewell: a socket with news is not used. A ping would tell no
    more, and costs a round trip. Raises DisconnectionError, which the pool takes care of.
    """
    connection, news = adapted.driver_connection, select.poll()
    if not connection.closed:
        news.register(connection.fileno(), select.POLLIN)
    if connection.closed or news.poll(0):
        raise DisconnectionError


def is_crowded(error: BaseException) -> bool:
    """Whether no connection became free in time: nothing was begun, the database may be well."""
    return isinstance(error, PoolTimeoutError)


def is_connection_loss(error: BaseException) -> bool:
    """Whether the database went away or upset the work: the same may be repeated as it is."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if str(getattr(getattr(error, "orig", None), "sqlstate", "")).startswith(TOO_COMPLEX):
        return False
    losses = (OperationalError, InterfaceError, PoolTimeoutError, OSError, TimeoutError)
    return isinstance(error, losses)
