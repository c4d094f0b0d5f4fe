"""Tenants see nothing of each other: every route that names a thing, every list."""

import asyncio
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any, Final

import httpx2
import orjson
import pytest

from shared.domain.ids import IdKind, new_id, renamed
from shared.security.keys import OF_A_TENANT, Scope
from tests.api.conftest import MODEL, Api, eventually, job_body, make_key
from tests.api.doors import Door, doors

CHAT: Final = {"model": MODEL, "messages": [{"role": "user", "content": "Why?"}]}
HOOK: Final = {"name": "h", "url": "https://8.8.8.8/h", "event_types": ["job.succeeded"]}
FOR_ALL: Final = frozenset({"provider_id", "name", "model_id", "model"})
"""Parameters of paths that name what is no tenant's, or that only operators may say."""
BODIES: Final[Mapping[str, Any]] = {
    "PATCH /api/v1/keys/{key_id}": {"max_running": 1},
    "PATCH /api/v1/budgets/{budget_id}": {"cap_usd": "2"},
    "POST /v1/webhook_endpoints/{webhook_endpoint_id}": {"name": "n"},
    "POST /v1/webhook_endpoints/{webhook_endpoint_id}/test": {"event_type": "job.succeeded"},
    "POST /api/v1/webhooks/{endpoint_id}/replay": {"since": "2026-01-01T00:00:00Z"},
}
"""What a route wants to be sent; `{}` where it has no row."""

Maker = Callable[[httpx2.Client, Api], str]


def made(path: str, body: Any, field: str = "id") -> Maker:
    """Makes a thing by a POST."""

    def make(client: httpx2.Client, _: Api) -> str:
        reply = client.post(path, json=body)
        assert reply.is_success, reply.text
        return str(reply.json()[field])

    return make


def labelled(client: httpx2.Client, _: Api) -> str:
    """A batch that is only a label of jobs."""
    tenant = client.get("/api/v1/me").json()["tenant"]["name"]
    return str(client.post("/api/v1/jobs", json=job_body(batch=f"b-{tenant}")).json()["batch"])


def uploaded(client: httpx2.Client, _: Api) -> str:
    """A file of one line."""
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    file = {"file": ("lines.jsonl", orjson.dumps(line))}
    reply = client.post("/v1/files", data={"purpose": "batch"}, files=file)
    assert reply.is_success, reply.text
    return str(reply.json()["id"])


def batched(client: httpx2.Client, api: Api) -> str:
    """A batch of such a file, its line a job."""
    wish = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    body = {**wish, "input_file_id": uploaded(client, api)}
    id_ = made("/v1/batches", body)(client, api)
    state = "SELECT state FROM batches WHERE id = %s"
    eventually(lambda: api.sql(state, id_) == [("in_progress",)], "the batch is registered")
    return id_


def batched_messages(client: httpx2.Client, api: Api) -> str:
    """A batch of one message, which is a job."""
    requests = [{"custom_id": "1", "params": CHAT}]
    id_ = made("/v1/messages/batches", {"requests": requests})(client, api)
    state, ours = "SELECT state FROM batches WHERE id = %s", renamed(id_, IdKind.BATCH)
    eventually(lambda: api.sql(state, ours) == [("in_progress",)], "the batch is registered")
    return id_


def told(client: httpx2.Client, api: Api) -> str:
    """What the first webhook endpoint of the tenant was told."""
    endpoint = client.get("/api/v1/webhooks").json()["data"][-1]["id"]
    id_ = new_id(IdKind.DELIVERY)
    api.sql(
        "INSERT INTO deliveries (id, tenant_id, endpoint_id, message_id, type, subject, body)"
        " SELECT %s, tenant_id, id, 'evt_1', 'job.succeeded', 'job_1', '{}'"
        " FROM webhook_endpoints WHERE id = %s",
        id_, endpoint,
    )  # fmt: skip
    return id_


MAKERS: Final[Mapping[str, Maker]] = {
    "job_id": made("/api/v1/jobs", job_body()),
    "response_id": made("/v1/responses", {"model": MODEL, "input": "Why?", "background": True}),
    "file_id": uploaded,
    "batch_id": batched,
    "message_batch_id": batched_messages,
    "batch": labelled,
    "key_id": made("/api/v1/keys", {"name": "other"}),
    "endpoint_id": made("/api/v1/webhooks", HOOK),
    "webhook_endpoint_id": made("/v1/webhook_endpoints", {**HOOK, "name": "of OpenAI's face"}),
    "delivery_id": told,
    "budget_id": made("/api/v1/budgets", {"name": "b", "cap_usd": "1", "every": "month"}),
}
"""Parameter of a path to who makes such a thing: a new one without a row fails the tests."""


@pytest.fixture
def admins(api: Api) -> tuple[str, str]:
    """A key of each tenant that may do all that a tenant may."""
    one, two = (asyncio.run(make_key(api.database_url, t, *OF_A_TENANT)) for t in ("one", "two"))
    return one, two


def owned(api: Api, key: str) -> dict[str, str]:
    """One of everything, made by the holder of the key."""
    with api.client(key) as client:
        return {name: make(client, api) for name, make in MAKERS.items()}


def named() -> list[Door]:
    """The routes whose paths name a thing of a tenant."""
    return [door for door in doors() if set(door.names) - FOR_ALL]


def ask(client: httpx2.Client, door: Door, ids: Mapping[str, str]) -> httpx2.Response:
    body = None if door.method in {"GET", "DELETE"} else BODIES.get(door.name, {})
    return client.request(door.method, door.filled(**ids), json=body)


def rows_of(api: Api, tenant: str) -> dict[str, list[Any]]:
    """All that the database has of a tenant, but for when its keys were last used."""
    tables = api.sql(
        "SELECT table_name FROM information_schema.columns"
        " WHERE column_name = 'tenant_id' AND table_schema = 'public' ORDER BY 1"
    )
    return {
        table: api.sql(
            f"SELECT to_jsonb(t) - 'last_used_at' FROM {table} t"
            " JOIN tenants ON tenants.id = t.tenant_id WHERE tenants.name = %s ORDER BY 1",
            tenant,
        )
        for (table,) in tables
    }


def test_every_thing_that_a_path_names_can_be_made_here() -> None:
    assert sorted({each for door in named() for each in door.names} - MAKERS.keys()) == []


def test_what_belongs_to_another_tenant_is_a_404_and_stays_as_it_is(
    api: Api, admins: tuple[str, str]
) -> None:
    theirs, ours = (owned(api, key) for key in admins)
    before = rows_of(api, "one")
    with api.client(admins[1]) as client:
        for door in named():
            choices = [(theirs[each], ours[each]) for each in door.names]
            # Ours alone is no trespass: one thing of theirs on the way is.
            for chosen in list(product(*choices))[:-1]:
                ids = dict(zip(door.names, chosen, strict=True))
                response = ask(client, door, ids)
                assert response.status_code == 404, (door.name, ids, response.text)
    assert rows_of(api, "one") == before


def test_what_is_ours_is_there(api: Api, admins: tuple[str, str]) -> None:
    ids = owned(api, admins[1])
    reads = [door for door in named() if door.method == "GET" and "events" not in door.path]
    with api.client(admins[1]) as client:
        for door in reads:
            assert ask(client, door, ids).status_code in {200, 409}, door.name


def test_no_list_tells_of_another_tenant(api: Api, admins: tuple[str, str]) -> None:
    theirs = owned(api, admins[0])
    [(tenant_id,)] = api.sql("SELECT id FROM tenants WHERE name = 'one'")
    lists = [
        door
        for door in doors()
        if door.method == "GET" and not door.names and door.scope is not Scope.OPERATOR
    ]
    assert lists
    with api.client(admins[1]) as client:
        for door in lists:
            reply = client.get(door.path)
            told = [each for each in (tenant_id, *theirs.values()) if each in reply.text]
            assert (door.name, told) == (door.name, [])
        assert client.get("/api/v1/jobs/summary").json()["counts"]["queued"] == 0
