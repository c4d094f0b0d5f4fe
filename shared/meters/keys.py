"""What Redis keeps of a meter, and under which keys."""

from collections.abc import Iterable

from shared.meters.gauges import Gauge


def meter_key(deployment: str) -> str:
    """Since when it is used, until when it rests, and how far its pace is cut."""
    return f"pm:meter:{deployment}"


def taken_key(deployment: str) -> str:
    """What each open attempt took."""
    return f"pm:taken:{deployment}"


def learned_key(deployment: str) -> str:
    """What usage taught, and whether the last call was refused."""
    return f"pm:learned:{deployment}"


def gauge_key(deployment: str, name: str) -> str:
    """What one gauge has counted."""
    return f"pm:gauge:{deployment}:{name}"


def gauge_keys(deployment: str, gauges: Iterable[Gauge]) -> list[str]:
    """Those of all its gauges, in their order."""
    return [gauge_key(deployment, each.name) for each in gauges]


def slots_of(deployment: str, queue: str) -> tuple[str, str]:
    """Where the open attempts of a deployment and of its queue's fleet are kept."""
    return f"pm:slots:{deployment}", f"pm:fleet:{queue}"
