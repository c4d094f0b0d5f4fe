"""The envelope of OpenAI's lists."""

from collections.abc import Sequence
from typing import Any


def page_of(data: Sequence[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page; the next one is asked for with `after` = its `last_id`."""
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": more,
    }
