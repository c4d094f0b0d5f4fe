"""The unmodified OpenAI SDK manages webhook endpoints, and verifies what they are told."""

import asyncio
from collections.abc import Iterator

import openai
import pytest
from openai import BadRequestError, InvalidWebhookSignatureError, NotFoundError, OpenAI
from openai.types.webhooks import BatchCompletedWebhookEvent, WebhookEndpointWithSecret

from shared.domain.event import OF_OPENAI
from shared.security.keys import Scope
from tests.api.conftest import Api, api, make_key, served
from tests.webhooks.door import PUBLIC, api_settings, receiver
from tests.webhooks.receiver import Receiver

__all__ = ["api", "api_settings", "receiver", "served"]


@pytest.fixture
def client(api: Api) -> Iterator[OpenAI]:
    key = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN))
    with OpenAI(api_key=key, base_url=f"{api.url}/v1", max_retries=0) as client:
        yield client


def test_an_endpoint_is_made_read_changed_listed_and_deleted(client: OpenAI) -> None:
    made = client.webhooks.create(name="batches", url=PUBLIC, event_types=["batch.completed"])
    assert made.object == "webhook_endpoint"
    assert made.signing_secret.startswith("whsec_")
    assert made.signing_secret_hint == f"whsec_…{made.signing_secret[-4:]}"
    read = client.webhooks.retrieve(made.id)
    assert (read.name, read.url, read.event_types) == ("batches", PUBLIC, ["batch.completed"])
    assert "signing_secret" not in read.to_dict()
    changed = client.webhooks.update(made.id, event_types=["response.failed", "batch.failed"])
    assert (changed.event_types, changed.name) == (["batch.failed", "response.failed"], "batches")
    gone = client.webhooks.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "webhook_endpoint.deleted")
    with pytest.raises(NotFoundError):
        client.webhooks.retrieve(made.id)


def test_the_list_goes_on_page_by_page_the_newest_first(client: OpenAI) -> None:
    ids = [
        client.webhooks.create(name=f"{n}", url=PUBLIC, event_types=["batch.failed"]).id
        for n in range(3)
    ]
    page = client.webhooks.list(limit=2)
    assert page.has_more
    assert [each.id for each in page.data] == ids[:0:-1]
    assert [each.id for each in client.webhooks.list(limit=2)] == ids[::-1]


def test_the_types_of_events_are_openais(client: OpenAI) -> None:
    listed = client.webhooks.event_types.list()
    assert (listed.object, set(listed.data)) == ("list", set(OF_OPENAI))


def test_a_sample_unwraps_and_a_rotation_decides_by_which_secret(
    client: OpenAI, receiver: Receiver
) -> None:
    url, types = receiver.url, ["batch.completed"]
    made = client.webhooks.create(name="mine", url=url, event_types=types)  # type: ignore[arg-type]

    def unwrapped(secret: str) -> object:
        got = receiver.got[-1]
        return client.webhooks.unwrap(got.raw, got.headers, secret=secret)

    tested = client.webhooks.test(made.id, event_type="batch.completed")
    assert (tested.success, tested.status_code, tested.event_type) == (True, 204, "batch.completed")
    event = unwrapped(made.signing_secret)
    assert isinstance(event, BatchCompletedWebhookEvent)
    assert event.data.id.startswith("batch_")

    kept = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
    client.webhooks.test(made.id, event_type="batch.completed")
    assert unwrapped(kept.signing_secret) == unwrapped(made.signing_secret)
    alone = client.webhooks.rotate_secret(made.id)
    client.webhooks.test(made.id, event_type="batch.completed")
    assert unwrapped(alone.signing_secret)
    with pytest.raises(InvalidWebhookSignatureError):
        unwrapped(kept.signing_secret)


def test_a_retry_finds_what_the_first_try_did(client: OpenAI) -> None:
    def made(tries: int = 0) -> WebhookEndpointWithSecret:
        return client.webhooks.create(
            name="once", url=PUBLIC, event_types=["batch.failed"], extra_headers=counted(tries)
        )

    def rotated(tries: int = 0) -> str:
        kept = client.webhooks.rotate_secret(
            first.id, keep_old_secret_active_for_24_hours=True, extra_headers=counted(tries)
        )
        return kept.signing_secret

    def counted(tries: int) -> dict[str, str]:
        return {"x-stainless-retry-count": str(tries)}

    first = made()
    assert made(1) == first
    assert made().id != first.id
    secret = rotated()
    assert rotated(1) == secret != first.signing_secret
    assert rotated() != secret


def test_an_answer_of_any_status_is_told_and_no_answer_is_an_error(
    client: OpenAI, receiver: Receiver
) -> None:
    made = client.webhooks.create(name="mine", url=receiver.url, event_types=["batch.failed"])
    receiver.status = 500
    assert client.webhooks.test(made.id, event_type="batch.failed").status_code == 500
    client.webhooks.update(made.id, url="http://127.0.0.1:9/nobody")
    with pytest.raises(BadRequestError, match="nothing answers"):
        client.webhooks.test(made.id, event_type="batch.failed")


def test_what_cannot_be_an_endpoint_is_an_error_that_names_the_parameter(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.webhooks.create(name="x", url="https://10.0.0.1/", event_types=["batch.failed"])
    assert refused.value.param == "url"
    with pytest.raises(BadRequestError, match="event_types"):
        client.webhooks.create(name="x", url=PUBLIC, event_types=["eval.run.failed"])


def test_it_takes_the_scope_admin(client: OpenAI, api: Api) -> None:
    made = client.webhooks.create(name="x", url=PUBLIC, event_types=["batch.failed"])
    with OpenAI(api_key=api.key, base_url=f"{api.url}/v1", max_retries=0) as writer:
        with pytest.raises(openai.PermissionDeniedError):
            writer.webhooks.list()
        with pytest.raises(openai.PermissionDeniedError):
            writer.webhooks.delete(made.id)
