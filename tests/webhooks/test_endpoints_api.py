"""A tenant's admin makes webhook endpoints, tries them, rotates their secrets, deletes them."""

import asyncio
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from api.webhooks.check import require_url
from shared.db.endpoints import MOST_BY_HAND
from shared.domain.errors import InvalidRequestError
from shared.domain.event import EventType
from shared.security.keys import Scope
from shared.security.webhooks import endpoint_secret
from tests.api.conftest import Api, api, make_key, served
from tests.environment import PEPPER
from tests.webhooks.door import (
    PATH,
    PUBLIC,
    admin,
    api_settings,
    deliver,
    is_signed,
    make,
    receiver,
)
from tests.webhooks.receiver import Receiver

__all__ = ["admin", "api", "api_settings", "receiver", "served"]


def test_a_new_endpoint_shows_its_secret_this_once(admin: httpx2.Client) -> None:
    made = make(admin, event_types=["job.succeeded", "batch.completed", "job.succeeded"])
    secret = made["signing_secret"]
    derived = endpoint_secret(SecretStr(PEPPER), made["id"], 1)
    assert secret == derived.get_secret_value()
    assert made["event_types"] == ["batch.completed", "job.succeeded"]
    read = admin.get(f"{PATH}/{made['id']}")
    listed = admin.get(PATH).json()
    assert secret not in read.text
    assert read.json()["signing_secret_hint"] == f"whsec_…{secret[-4:]}"
    assert listed == {"data": [read.json()], "has_more": False, "next": None}
    shown = admin.get(f"{PATH}/{made['id']}/secret")
    assert (shown.status_code, "rotate it" in shown.text) == (409, True)
    assert set(admin.get(f"{PATH}/event_types").json()["data"]) == set(EventType)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.promptmill.dev/in", "must begin with https://"),
        ("ftp://hooks.promptmill.dev/in", "must begin with"),
        ("https://me:word@hooks.promptmill.dev/in", "user or a password"),
        ("https://hooks.promptmill.dev:8443/in", "port must be 443"),
        ("https://169.254.169.254/latest/meta-data", "not on the public internet"),
        ("https://10.1.2.3/in", "not on the public internet"),
        ("https://[::ffff:127.0.0.1]/in", "not on the public internet"),
        ("https://localhost/in", "not on the public internet"),
        ("https://mill.internal/in", "not on the public internet"),
        ("https:///in", "names no host"),
    ],
)
def test_a_url_inside_is_refused_by_its_spelling(url: str, why: str) -> None:
    with pytest.raises(InvalidRequestError, match=why) as refused:
        require_url(url, field="url", development=False)
    assert refused.value.field == "url"


def test_in_development_this_machine_may_be_told_and_no_other_inside() -> None:
    for url in ("http://127.0.0.1:8080/in", "http://localhost/in", "http://[::1]:9/in", PUBLIC):
        require_url(url, field="url", development=True)
    with pytest.raises(InvalidRequestError):
        require_url("http://10.0.0.1/in", field="url", development=True)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "https://10.0.0.1/x"}, "url"),
        ({"event_types": ["job.done"]}, "event_types[0]"),
        ({"event_types": []}, "event_types"),
        ({"name": ""}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_an_endpoint_is_refused_and_named(
    admin: httpx2.Client, api: Api, changes: dict[str, Any], field: str
) -> None:
    body = {"name": "hook", "url": PUBLIC, "event_types": ["job.failed"], **changes}
    reply = admin.post(PATH, json=body)
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, field)
    assert api.sql("SELECT count(*) FROM webhook_endpoints") == [(0,)]


def test_what_is_changed_changes_and_the_rest_stays(admin: httpx2.Client) -> None:
    made = make(admin)
    path = f"{PATH}/{made['id']}"
    changed = admin.patch(path, json={"url": "https://other.promptmill.dev/"}).json()
    assert (changed["url"], changed["name"]) == ("https://other.promptmill.dev/", "hook")
    assert changed["updated_at"] > made["updated_at"]
    again = admin.patch(path, json={"url": "https://other.promptmill.dev/"}).json()
    assert again["updated_at"] == changed["updated_at"]
    for body in ({"name": None}, {"url": "http://169.254.169.254/"}):
        assert admin.patch(path, json=body).status_code == 400
    assert admin.get(path).json() == changed


def test_what_is_another_tenants_is_not_there(admin: httpx2.Client, api: Api) -> None:
    made = make(admin)
    delivery = deliver(api, made, 1, "given_up")
    path = f"{PATH}/{made['id']}"
    calls = [
        ("GET", path), ("PATCH", path), ("DELETE", path), ("GET", f"{path}/secret"),
        ("POST", f"{path}/rotate"), ("POST", f"{path}/enable"), ("POST", f"{path}/disable"),
        ("POST", f"{path}/test"), ("GET", f"{path}/deliveries"),
        ("GET", f"{path}/deliveries/{delivery}"), ("POST", f"{path}/replay"),
        ("POST", f"{path}/deliveries/{delivery}/replay"),
    ]  # fmt: skip
    body = {"since": "2026-01-01T00:00:00Z"}
    stranger = asyncio.run(make_key(api.database_url, "two", Scope.ADMIN))
    with api.client(stranger) as other, api.client() as writer:
        for method, place in calls:
            sent = body if place == f"{path}/replay" else {}
            assert other.request(method, place, json=sent).status_code == 404, place
            assert writer.request(method, place, json=sent).status_code == 403, place
        assert other.get(PATH).json()["data"] == []
        mine = make(other)
        strange = f"{PATH}/{mine['id']}/deliveries/{delivery}"
        assert other.get(strange).status_code == 404
        assert other.post(f"{strange}/replay").status_code == 404
    assert admin.get(path).status_code == 200


def test_a_sample_is_signed_and_tells_what_came_of_it(
    admin: httpx2.Client, receiver: Receiver
) -> None:
    made = make(admin, receiver.url)
    path = f"{PATH}/{made['id']}"
    tested = admin.post(f"{path}/test", json={"event_type": "batch.completed"}).json()
    assert (tested["delivered"], tested["status_code"], tested["error"]) == (True, 204, None)
    [got] = receiver.got
    assert is_signed(got, made["signing_secret"])
    assert got.headers["content-type"] == "application/json"
    assert got.event["id"] == got.headers["webhook-id"]
    assert {"object": "event", "type": "batch.completed"}.items() <= got.event.items()
    assert got.event["data"]["id"].startswith("batch_")

    receiver.status = 503
    told = admin.post(f"{path}/test").json()
    assert told["event_type"] == "job.succeeded"
    assert (told["delivered"], told["error"]) == (False, "it answered with status 503")
    admin.patch(path, json={"url": "http://127.0.0.1:9/nobody"})
    away = admin.post(f"{path}/test").json()
    assert (away["status_code"], away["error"]) == (None, "no connection could be opened")


def test_after_a_rotation_both_secrets_sign_for_a_day_or_the_new_one_alone(
    admin: httpx2.Client, receiver: Receiver, api: Api
) -> None:
    first = make(admin, receiver.url)
    path = f"{PATH}/{first['id']}"

    def signed_by(*secrets: str) -> bool:
        admin.post(f"{path}/test")
        return is_signed(receiver.got[-1], *secrets)

    second = admin.post(f"{path}/rotate").json()
    assert second["signing_secret"] != first["signing_secret"]
    assert second["old_secret_until"] is not None
    assert signed_by(second["signing_secret"], first["signing_secret"])
    api.sql("UPDATE webhook_endpoints SET old_secret_until = now() - interval '1 second'")
    assert signed_by(second["signing_secret"])
    third = admin.post(f"{path}/rotate", json={"keep_old": False}).json()
    assert third["old_secret_until"] is None
    assert signed_by(third["signing_secret"])


def test_a_deleted_endpoint_is_gone_with_what_waits_for_it(admin: httpx2.Client, api: Api) -> None:
    made = make(admin)
    deliver(api, made, 1, "pending")
    path = f"{PATH}/{made['id']}"
    assert admin.delete(path).json() == {"id": made["id"], "deleted": True}
    assert admin.get(path).status_code == admin.delete(path).status_code == 404
    assert admin.get(PATH).json()["data"] == []
    assert api.sql("SELECT state FROM deliveries") == [("dropped",)]


def test_a_tenant_has_so_many_endpoints_and_no_more(admin: httpx2.Client, api: Api) -> None:
    made = make(admin)
    api.sql(
        "INSERT INTO webhook_endpoints (id, tenant_id, name, url, event_types)"
        " SELECT 'we_' || number, tenant_id, name, url, event_types"
        " FROM webhook_endpoints, generate_series(2, %s) AS number",
        MOST_BY_HAND,
    )
    body = {"name": "hook", "url": PUBLIC, "event_types": ["job.failed"]}
    refused = admin.post(PATH, json=body)
    assert (refused.status_code, "delete one" in refused.text) == (409, True)
    assert admin.delete(f"{PATH}/{made['id']}").status_code == 200
    assert admin.post(PATH, json=body).status_code == 201
