"""Endpoints and what they were told, as people read them."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from cli.jobs.show import table

HEADER: Final = ("NAME", "URL", "EVENTS", "STATE", "ID")
DELIVERIES_HEADER: Final = ("ID", "EVENT", "OF", "STATE", "TRIES", "LAST", "MADE")


def endpoint_lines(endpoints: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A row for each."""
    return table(map(_row, endpoints), HEADER)


def delivery_lines(deliveries: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A row for each."""
    return table(map(_delivery, deliveries), DELIVERIES_HEADER)


def endpoint_story(endpoint: dict[str, Any]) -> Iterator[str]:
    """One endpoint, a fact a line."""
    facts = {
        "id": endpoint["id"], "name": endpoint["name"], "url": endpoint["url"],
        "events": ", ".join(endpoint["event_types"]), "told of": _scope(endpoint),
        "state": _state(endpoint), "secret": endpoint["signing_secret_hint"],
        "the secret before signs until": endpoint["old_secret_until"],
        "created": endpoint["created_at"],
    }  # fmt: skip
    return (f"{name}: {value}" for name, value in facts.items() if value)


def _row(endpoint: dict[str, Any]) -> tuple[str, ...]:
    return (
        endpoint["name"], endpoint["url"], ",".join(endpoint["event_types"]), _state(endpoint),
        endpoint["id"],
    )  # fmt: skip


def _scope(endpoint: dict[str, Any]) -> str:
    return "the jobs that name its url" if endpoint["for_jobs"] else "all that happens"


def _state(endpoint: dict[str, Any]) -> str:
    if endpoint["disabled_at"]:
        return f"disabled since {endpoint['disabled_at']}: {endpoint['disabled_reason']}"
    since = endpoint["failing_since"]
    return f"failing since {since}" if since else "enabled"


def _delivery(delivery: dict[str, Any]) -> tuple[str, ...]:
    tries = delivery["tries"]
    return (
        delivery["id"], delivery["event_type"], delivery["subject"], _standing(delivery),
        str(len(tries)), _last(tries), delivery["created_at"],
    )  # fmt: skip


def _standing(delivery: dict[str, Any]) -> str:
    waits = delivery["next_try_at"]
    return f"{delivery['state']} until {waits}" if waits else str(delivery["state"])


def _last(tries: list[dict[str, Any]]) -> str:
    """What came of the last try."""
    if not tries:
        return "-"
    last = tries[-1]
    return last["error"] or f"status {last['status_code']} in {last['milliseconds']} ms"
