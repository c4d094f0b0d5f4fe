"""The words of usage: how a call is counted, and how long the calls took."""

from collections.abc import Sequence
from enum import StrEnum
from math import floor, log2
from typing import Final

from shared.domain.attempt import AttemptState


class Dimension(StrEnum):
    """What calls are told apart by."""

    TENANT = "tenant"
    PROJECT = "project"
    KEY = "key"
    TAG = "tag"
    """A call counts under each of its tags."""
    PROVIDER = "provider"
    MODEL = "model"
    ROUTE = "route"
    OUTCOME = "outcome"


LATENCY_BUCKETS: Final = 48
"""Bucket n holds the calls of less than 2^(n/2) ms; the last one, of hours, all that are longer."""
KIND_MARK: Final = ":"
KINDLESS: Final = frozenset({AttemptState.ANSWERED, AttemptState.UNKNOWN})
"""Ends that are counted without their failure's kind. Of an unknown end the kind may change when
the end becomes known, and what was added could not be taken away again."""


def outcome_of(state: str, failure_kind: str | None) -> str:
    """How a call counts: `answered`, `unknown`, or such as `refused:rate_limited`."""
    if state in KINDLESS or failure_kind is None:
        return str(state)
    return f"{state}{KIND_MARK}{failure_kind}"


def bucket_of(latency_ms: int) -> int:
    """The number of the bucket that holds a call of so many milliseconds."""
    if latency_ms < 1:
        return 0
    return min(floor(2 * log2(latency_ms)) + 1, LATENCY_BUCKETS - 1)


def percentile(latencies: Sequence[int], share: float) -> float | None:
    """Milliseconds within which that share of the calls ended, None without calls.

    Within a bucket they are taken for spread evenly: the figure is at most a factor of the
    square root of two off.
    """
    target = share * sum(latencies)
    below = 0
    for number, count in enumerate(latencies):
        if count and below + count >= target:
            start = 2 ** ((number - 1) / 2) if number else 0.0
            return start + (2 ** (number / 2) - start) * (target - below) / count
        below += count
    return None
