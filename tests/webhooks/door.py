"""The API's door for webhooks as an admin finds it, and what the workers would have left behind."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from shared.domain.clock import SystemClock
from shared.domain.ids import IdKind, id_of
from shared.security.keys import Scope
from shared.security.webhooks import signed_headers
from tests.api.conftest import Api, make_key
from tests.webhooks.receiver import Got, Receiver, receiving

PATH = "/api/v1/webhooks"
PUBLIC = "https://hooks.promptmill.dev/in"


@pytest.fixture(scope="module")
def api_settings() -> dict[str, str]:
    return {"PROMPTMILL_EGRESS__ALLOW_LOOPBACK": "true"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def admin(api: Api) -> Iterator[httpx2.Client]:
    key = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN))
    with api.client(key) as client:
        yield client


def make(client: httpx2.Client, url: str = PUBLIC, **changes: Any) -> dict[str, Any]:
    body = {"name": "hook", "url": url, "event_types": ["job.succeeded"], **changes}
    reply = client.post(PATH, json=body)
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


def deliver(api: Api, endpoint: dict[str, Any], minutes: int, state: str, **more: Any) -> str:
    """A delivery as the workers would have left it, made so many minutes ago."""
    at = SystemClock().now() - timedelta(minutes=minutes)
    id_ = id_of(IdKind.DELIVERY, at, state)
    message, kind = more.get("message", f"evt_{minutes}"), more.get("kind", "job.succeeded")
    api.sql(
        "INSERT INTO deliveries (id, tenant_id, endpoint_id, message_id, type, subject, body,"
        " state, tries, next_at, created_at) SELECT %s, tenant_id, id, %s, %s, 'job_1', '{}', %s,"
        " 1, now() + interval '1 hour', %s FROM webhook_endpoints WHERE id = %s",
        id_, message, kind, state, at, endpoint["id"],
    )  # fmt: skip
    api.sql(
        "INSERT INTO delivery_tries (delivery_id, number, status, error, milliseconds)"
        " VALUES (%s, 1, 500, 'it answered with status 500', 12)",
        id_,
    )
    return id_


def is_signed(got: Got, *secrets: str) -> bool:
    """Whether it is signed by exactly these."""
    wanted = signed_headers(
        [SecretStr(each) for each in secrets],
        got.headers["webhook-id"],
        int(got.headers["webhook-timestamp"]),
        got.raw,
    )
    return wanted["webhook-signature"] == got.headers["webhook-signature"]
