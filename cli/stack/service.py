"""What the supervisor is told about each child: a service, its readiness, its restarts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from cli.stack.child import PLAIN_STOP, Command, Escalation

Ready = Callable[[], Awaitable[bool]]


async def at_once() -> bool:
    """Ready as soon as it runs."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """The pauses before a dead child is started again; seconds."""

    first: float = 0.2
    factor: float = 2.0
    most: float = 15.0
    steady: float = 30.0
    """A child that ran so long begins anew with the first pause."""
    tolerated: int = 2
    """After more deaths in a row a child is called failing; it is still started again."""

    def pause(self, failures: int) -> float:
        """The pause after so many deaths in a row, counted from one."""
        return min(self.most, self.first * self.factor ** min(failures - 1, 30))


ALWAYS: Final = Restart()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One child to be kept running, or a task to be run once."""

    name: str
    command: Command
    ready: Ready = at_once
    """Awaited again and again; what it raises other than OSError ends the start."""
    start_timeout: float = 30.0
    """Seconds from its start until it is ready."""
    stop: Escalation = PLAIN_STOP
    restart: Restart = field(default=ALWAYS)
    after: tuple[str, ...] = ()
    """Names of the services that are ready before its start and stop after its end."""
    vital: bool = True
    """False: that it cannot be started ends nothing; it is tried again as if it had died."""
    once: bool = False
    """A task: it is ready when it has ended with 0, and is not started again."""
