"""What the unmodified SDK asks for ends in a webhook that the same SDK unwraps."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from standardwebhooks import Webhook

from shared.security.keys import Scope
from tests.sdk.batching import jsonl, line, start
from tests.sdk.conftest import MODEL, Stack, until
from tests.webhooks.receiver import Got, Receiver, receiving

SETTINGS = {"PROMPTMILL_EGRESS__ALLOW_LOOPBACK": "true"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def admin(stack: Stack) -> Iterator[OpenAI]:
    stack.script()
    with stack.sdk(stack.new_key("one", Scope.ADMIN)) as client:
        yield client


def secret_of(admin: OpenAI, name: str, url: str, *kinds: str) -> str:
    """That of a new endpoint; an SDK of 2 has no word for it, and asks in plain HTTP."""
    asked: Any = {"name": name, "url": url, "event_types": list(kinds)}
    if hasattr(admin.webhooks, "create"):
        return admin.webhooks.create(**asked).signing_secret
    made: Any = admin.post("/webhook_endpoints", body=asked, cast_to=object)
    return str(made["signing_secret"])


def told(receiver: Receiver, kind: str, subject: str) -> Got:
    """The webhook of that event."""

    def found() -> Got | None:
        wanted = (kind, subject)
        events = ((got, got.event) for got in receiver.got)
        return next((got for got, it in events if (it["type"], it["data"]["id"]) == wanted), None)

    got: Got = until(f"{kind} of {subject} is told", found, within=60.0)
    return got


def test_a_batch_and_a_response_end_in_webhooks_that_unwrap(
    admin: OpenAI, receiver: Receiver
) -> None:
    secret = secret_of(admin, "ends", receiver.url, "batch.completed", "response.completed")
    batch = start(admin, jsonl(line("a"), line("b")))
    response = admin.responses.create(model=MODEL, input="Why?", background=True)
    for kind, subject in (("batch.completed", batch.id), ("response.completed", response.id)):
        got = told(receiver, kind, subject)
        event: Any = admin.webhooks.unwrap(got.raw, got.headers, secret=secret)
        assert (event.type, event.data.id, event.id) == (kind, subject, got.headers["webhook-id"])
    assert {got.event["type"] for got in receiver.got} == {"batch.completed", "response.completed"}


def test_a_chat_names_the_url_that_is_told_of_its_end(
    admin: OpenAI, receiver: Receiver, stack: Stack
) -> None:
    own: dict[str, Any] = {"promptmill": {"webhook_url": receiver.url}}
    messages: Any = [{"role": "user", "content": "Why?"}]
    chat = admin.chat.completions.create(model=MODEL, messages=messages, extra_body=own)
    job_id = chat.id.removeprefix("chatcmpl-")
    got = told(receiver, "job.succeeded", job_id)
    with stack.http(admin.api_key) as http:
        [endpoint] = [
            each
            for each in http.get("/api/v1/webhooks").json()["data"]
            if each["url"] == receiver.url
        ]
        secret = http.get(f"/api/v1/webhooks/{endpoint['id']}/secret").json()["signing_secret"]
        until("its try is written", lambda: _delivered(http, endpoint["id"]))
        job = http.get(got.event["data"]["status_url"]).json()
    verified = Webhook(secret).verify(got.raw, got.headers)
    assert verified["data"]["cost"] == job["cost"]
    assert (verified["data"]["state"], job["id"]) == ("succeeded", job_id)
    own["promptmill"]["webhook_url"] = "https://10.0.0.1/x"
    with pytest.raises(openai.BadRequestError) as refused:
        admin.chat.completions.create(model=MODEL, messages=messages, extra_body=own)
    assert "webhook_url" in str(refused.value)


def _delivered(http: Any, endpoint_id: str) -> bool:
    deliveries = http.get(f"/api/v1/webhooks/{endpoint_id}/deliveries").json()["data"]
    return bool([each["tries"][0]["status_code"] for each in deliveries] == [204])
