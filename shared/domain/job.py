"""States of a job, its lanes, and the only moves between them."""

from enum import IntEnum, StrEnum
from typing import Final


class JobState(StrEnum):
    """Where a job stands; the drawing is docs/job-states.md."""

    SCHEDULED = "scheduled"
    """Not before `run_at`; `wait_reason` tells why."""
    QUEUED = "queued"
    """Eligible: waits for its turn, its meter or its worker."""
    RUNNING = "running"
    """An attempt has been sent to a provider."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINAL_STATES: Final = frozenset(
    {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
)
BIRTH_STATES: Final = frozenset({JobState.SCHEDULED, JobState.QUEUED})

JOB_MOVES: Final[dict[JobState, frozenset[JobState]]] = {
    JobState.SCHEDULED: frozenset({JobState.QUEUED, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.QUEUED: frozenset(
        {JobState.RUNNING, JobState.CANCELLED, JobState.EXPIRED, JobState.FAILED}
    ),
    JobState.RUNNING: FINAL_STATES | {JobState.SCHEDULED, JobState.QUEUED},
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}


class WaitReason(StrEnum):
    """Why a scheduled job waits."""

    NOT_BEFORE = "not_before"
    BACKOFF = "backoff"
    PROVIDER = "provider"
    BUDGET = "budget"


class GiveUp(StrEnum):
    """Why a waiting job fails without another call: its `error_kind`."""

    MAX_COST = "max_cost"
    """Nobody can answer it for what is left of the most that it may cost."""
    NO_DEPLOYMENT = "no_deployment"
    """The catalog has none of its deployments any more."""
    BUDGET = "budget"
    """What is spent of a budget that rejects leaves no room for its call."""
    EXHAUSTED = "exhausted"
    """Each of its deployments has had its tries."""


class Lane(IntEnum):
    """Order of service inside a route: the lower goes first."""

    INTERACTIVE = 0
    STANDARD = 1
    BULK = 2

    @property
    def label(self) -> str:
        """The lane's public name: interactive, standard or bulk."""
        return self.name.lower()

    @classmethod
    def of(cls, label: str) -> "Lane":
        """The lane of that public name; KeyError for any other."""
        return cls[label.upper()]
