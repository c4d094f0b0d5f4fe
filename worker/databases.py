"""A worker's connections to Postgres, by what a commit waits for and how statements are planned."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.db.engine import Database, Use


@dataclass(frozen=True, slots=True)
class Databases:
    """Thirteen connections at most."""

    upkeep: Database
    """For all that is not on the way of a job."""
    starts: Database
    """One batch at a time, in one statement."""
    ends: Database
    """The same in a few, which hold together."""
    looks: Database
    """For the dispatcher, to see what is due."""
    mint: Database
    """For its releases. What a crash of Postgres undoes of them was not started: a start is
    durable, and all before it."""

    @classmethod
    def of(cls, url: str) -> "Databases":
        """Open nothing yet."""
        worker, dispatcher = "promptmill-worker", "promptmill-dispatcher"
        return cls(
            upkeep=Database(url, pool_size=6, name=worker),
            starts=Database(url, pool_size=1, name=worker, use=Use(by_ids=True, alone=True)),
            ends=Database(url, pool_size=1, name=worker, use=Use(by_ids=True)),
            looks=Database(url, pool_size=3, name=dispatcher, use=Use(alone=True)),
            mint=Database(url, pool_size=2, name=dispatcher, use=Use(durable=False, by_ids=True)),
        )

    @property
    def closers(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What closes each."""
        each = self.looks, self.mint, self.starts, self.ends, self.upkeep
        return tuple(database.close for database in each)
