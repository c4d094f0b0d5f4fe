"""What webhooks are told: the types of events, and how far the telling came."""

from enum import StrEnum
from typing import Final


class EventType(StrEnum):
    """What happened, as the body of a webhook says it."""

    BATCH_COMPLETED = "batch.completed"
    BATCH_FAILED = "batch.failed"
    BATCH_EXPIRED = "batch.expired"
    BATCH_CANCELLED = "batch.cancelled"
    RESPONSE_COMPLETED = "response.completed"
    RESPONSE_FAILED = "response.failed"
    RESPONSE_CANCELLED = "response.cancelled"
    RESPONSE_INCOMPLETE = "response.incomplete"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_EXPIRED = "job.expired"
    ENDPOINT_DISABLED = "webhook_endpoint.disabled"


OF_JOBS: Final = frozenset(each for each in EventType if each.startswith("job."))
"""Of this server alone: a client of OpenAI's would take them for something else, so they go to
nobody who does not name them."""
OF_ONE_JOB: Final = frozenset(each for each in EventType if each.startswith(("job.", "response.")))
"""What can happen to a single job."""
OF_OPENAI: Final = frozenset(each for each in EventType if each.startswith(("batch.", "response.")))
"""As OpenAI names them."""


class DeliveryState(StrEnum):
    """How far a delivery came."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    """After the last of its tries."""
    DROPPED = "dropped"
    """Its endpoint was disabled or deleted."""
