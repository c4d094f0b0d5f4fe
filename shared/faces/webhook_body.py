"""The body of a webhook, in the form that `client.webhooks.unwrap` of OpenAI's SDK reads."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from shared.domain.event import EventType


def webhook_body(event_id: str, kind: EventType, at: datetime, data: Mapping[str, Any]) -> bytes:
    """Thin: `data` has the `id` of what it happened to, and little else."""
    return orjson.dumps(
        {
            "id": event_id,
            "object": "event",
            "type": kind,
            "created_at": int(at.timestamp()),
            "data": data,
        }
    )
