"""What an endpoint was told is listed with every try, and what it missed is sent again."""

from datetime import timedelta
from typing import Any

import httpx2

from shared.db.delivery_log import MOST_REPLAYED
from shared.domain.clock import SystemClock
from tests.api.conftest import Api, api, served
from tests.webhooks.door import PATH, admin, api_settings, deliver, make

__all__ = ["admin", "api", "api_settings", "served"]


def test_a_disabled_endpoint_drops_what_waits_and_sends_it_again_when_enabled(
    admin: httpx2.Client, api: Api
) -> None:
    made = make(admin)
    path = f"{PATH}/{made['id']}"
    waits = deliver(api, made, 1, "pending")
    closed = admin.post(f"{path}/disable").json()
    assert (closed["disabled_reason"], bool(closed["disabled_at"])) == ("disabled by hand", True)
    [told] = admin.get(f"{path}/deliveries").json()["data"]
    assert (told["id"], told["state"], told["next_try_at"]) == (waits, "dropped", None)
    since = {"since": "2026-01-01T00:00:00Z"}
    refused = admin.post(f"{path}/replay", json=since)
    assert (refused.status_code, "enable it first" in refused.text) == (409, True)
    assert admin.post(f"{path}/enable").json()["disabled_at"] is None
    assert admin.post(f"{path}/replay", json=since).json()["replayed"] == 1
    assert admin.post(f"{path}/replay", json=since).json()["replayed"] == 0


def test_what_it_was_told_is_listed_with_every_try(admin: httpx2.Client, api: Api) -> None:
    made = make(admin)
    path = f"{PATH}/{made['id']}/deliveries"
    old, new = deliver(api, made, 9, "given_up"), deliver(api, made, 5, "pending")
    page = admin.get(path, params={"limit": 1}).json()
    assert ([each["id"] for each in page["data"]], page["next"]) == ([new], new)
    rest = admin.get(path, params={"after": page["next"]}).json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([old], False)
    [given_up] = admin.get(path, params={"state": "given_up"}).json()["data"]
    assert given_up == admin.get(f"{path}/{old}").json()
    [tried] = given_up["tries"]
    assert (tried["number"], tried["status_code"], tried["milliseconds"]) == (1, 500, 12)
    assert tried["error"] == "it answered with status 500"


def test_one_delivery_is_sent_again_under_the_same_message(admin: httpx2.Client, api: Api) -> None:
    made = make(admin)
    path = f"{PATH}/{made['id']}/deliveries"
    old = deliver(api, made, 9, "delivered")
    sent = admin.post(f"{path}/{old}/replay")
    assert sent.status_code == 202
    fresh = sent.json()
    assert (fresh["state"], fresh["message_id"], fresh["tries"]) == ("pending", "evt_9", [])
    assert fresh["id"] != old
    waits = deliver(api, made, 5, "pending")
    assert admin.post(f"{path}/{waits}/replay").json()["id"] == waits
    assert api.sql("SELECT next_at <= now() FROM deliveries WHERE id = %s", waits) == [(True,)]


def test_a_span_of_time_is_sent_again_by_type_and_each_message_once(
    admin: httpx2.Client, api: Api
) -> None:
    made = make(admin)
    path = f"{PATH}/{made['id']}/replay"
    hour_ago = (SystemClock().now() - timedelta(hours=1)).isoformat()
    deliver(api, made, 90, "given_up")
    deliver(api, made, 50, "given_up", kind="job.failed")
    deliver(api, made, 40, "given_up")
    deliver(api, made, 30, "given_up", message="evt_twice")
    deliver(api, made, 20, "delivered", message="evt_twice")
    deliver(api, made, 10, "delivered")

    def replay(**more: Any) -> tuple[int, list[str]]:
        count = admin.post(path, json={"since": hour_ago, **more}).json()["replayed"]
        rows = api.sql("DELETE FROM deliveries WHERE tries = 0 RETURNING message_id")
        return count, sorted(row[0] for row in rows)

    assert replay() == (2, ["evt_40", "evt_50"])
    assert replay(event_types=["job.failed"]) == (1, ["evt_50"])
    assert replay(states=["delivered"]) == (2, ["evt_10", "evt_twice"])
    until = (SystemClock().now() - timedelta(minutes=45)).isoformat()
    assert replay(until=until) == (1, ["evt_50"])
    assert admin.post(path, json={"since": "2026-11-21T10:00:00"}).status_code == 400


def test_a_long_span_is_sent_again_page_by_page(admin: httpx2.Client, api: Api) -> None:
    made = make(admin)
    api.sql(
        "INSERT INTO deliveries (id, tenant_id, endpoint_id, message_id, type, subject, body,"
        " state, tries) SELECT 'dlv_0' || lpad(number::text, 5, '0'), tenant_id, id,"
        " 'evt_' || number, 'job.failed', 'job_1', '{}', 'given_up', 10"
        " FROM webhook_endpoints, generate_series(1, %s) AS number",
        MOST_REPLAYED + 1,
    )
    path, body = f"{PATH}/{made['id']}/replay", {"since": "1970-01-01T00:00:00Z"}
    first = admin.post(path, json=body).json()
    assert (first["replayed"], first["has_more"]) == (MOST_REPLAYED, True)
    rest = admin.post(path, json={**body, "after": first["next"]}).json()
    assert (rest["replayed"], rest["next"]) == (1, None)
