"""A job names the URL that is told of its end: each is an endpoint, which an admin sees."""

from typing import Any

import httpx2
import pytest

from shared.db.endpoints import MOST_OF_JOBS
from shared.domain.event import OF_JOBS
from tests.api.conftest import Api, api, job_body, served
from tests.webhooks.door import PATH, PUBLIC, admin, api_settings, make

__all__ = ["admin", "api", "api_settings", "served"]
JOBS = "/api/v1/jobs"


def submit(client: httpx2.Client, **changes: Any) -> str:
    reply = client.post(JOBS, json=job_body(**changes))
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def webhook_of(api: Api, job_id: str) -> str | None:
    found: str | None = api.sql("SELECT webhook FROM payloads WHERE job_id = %s", job_id)[0][0]
    return found


def test_jobs_of_one_url_share_an_endpoint_and_an_admin_sees_its_secret(
    api: Api, admin: httpx2.Client
) -> None:
    with api.client() as writer:
        told = [submit(writer, webhook_url=PUBLIC) for _ in range(2)]
        silent = submit(writer)
    [listed] = admin.get(PATH).json()["data"]
    assert [webhook_of(api, each) for each in told] == [listed["id"]] * 2
    assert webhook_of(api, silent) is None
    assert (listed["url"], listed["for_jobs"]) == (PUBLIC, True)
    assert set(listed["event_types"]) == OF_JOBS
    shown = admin.get(f"{PATH}/{listed['id']}/secret").json()["signing_secret"]
    rotated = admin.post(f"{PATH}/{listed['id']}/rotate").json()["signing_secret"]
    assert shown != rotated == admin.get(f"{PATH}/{listed['id']}/secret").json()["signing_secret"]
    with api.client() as writer:
        assert writer.get(f"{PATH}/{listed['id']}/secret").status_code == 403


def test_another_choice_of_events_is_another_endpoint(api: Api, admin: httpx2.Client) -> None:
    with api.client() as writer:
        every = submit(writer, webhook_url=PUBLIC)
        failed = submit(writer, webhook_url=PUBLIC, webhook_events=["job.failed"])
        plain = submit(writer, webhook_url=PUBLIC)
    types = {each["id"]: each["event_types"] for each in admin.get(PATH).json()["data"]}
    assert types[str(webhook_of(api, failed))] == ["job.failed"]
    assert webhook_of(api, plain) == webhook_of(api, every) != webhook_of(api, failed)


def test_an_endpoint_that_was_made_before_is_the_one_of_its_url(
    api: Api, admin: httpx2.Client
) -> None:
    made = make(admin, for_jobs=True, event_types=["job.expired"])
    body = {"name": "x", "url": PUBLIC, "event_types": ["job.expired"], "for_jobs": True}
    again = admin.post(PATH, json=body)
    assert (again.status_code, made["id"] in again.text) == (409, True)
    moved = admin.patch(f"{PATH}/{made['id']}", json={"url": f"{PUBLIC}/else"})
    assert (moved.status_code, "make another" in moved.text) == (409, True)
    assert admin.patch(f"{PATH}/{made['id']}", json={"name": "mine"}).json()["name"] == "mine"
    with api.client() as writer:
        assert webhook_of(api, submit(writer, webhook_url=PUBLIC)) == made["id"]


def test_a_job_that_names_a_disabled_url_enables_it(api: Api, admin: httpx2.Client) -> None:
    made = make(admin, for_jobs=True, event_types=["job.cancelled"])
    api.sql(
        "UPDATE webhook_endpoints SET disabled_at = now(), disabled_reason = 'gone' WHERE id = %s",
        made["id"],
    )
    with api.client() as writer:
        submit(writer, webhook_url=PUBLIC, webhook_events=["job.cancelled"])
    told = admin.get(f"{PATH}/{made['id']}").json()
    assert (told["disabled_at"], told["disabled_reason"]) == (None, None)


def test_lines_of_a_bulk_body_share_it_too_and_one_that_may_not_is_named(
    api: Api, admin: httpx2.Client
) -> None:
    lines = [job_body(webhook_url=PUBLIC), job_body(), job_body(webhook_url=PUBLIC)]

    def bulk(bodies: list[dict[str, Any]]) -> httpx2.Response:
        content = "\n".join(
            httpx2.Request("POST", "http://x", json=b).content.decode() for b in bodies
        )
        with api.client() as writer:
            return writer.post(f"{JOBS}/bulk", content=content)

    assert bulk(lines).status_code == 202
    told = api.sql("SELECT webhook FROM payloads WHERE webhook IS NOT NULL")
    assert (len(told), len(set(told)), len(admin.get(PATH).json()["data"])) == (2, 1, 1)
    error = bulk([*lines, job_body(webhook_url="https://10.0.0.1/x")]).json()["error"]
    assert (error["field"], error["line"]) == ("webhook_url", 4)
    assert api.sql("SELECT count(*) FROM jobs") == [(3,)]


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"webhook_url": "https://169.254.169.254/x"}, "webhook_url", "public internet"),
        ({"webhook_url": "file:///etc/passwd"}, "webhook_url", "must begin with"),
        ({"webhook_events": ["job.failed"]}, "body", "needs a webhook_url"),
        (
            {"webhook_url": PUBLIC, "webhook_events": ["batch.completed"]},
            "webhook_events",
            "no event of a job",
        ),
    ],
)
def test_what_no_job_can_tell_is_refused_and_named(
    api: Api, changes: dict[str, Any], field: str, why: str
) -> None:
    with api.client() as writer:
        reply = writer.post(JOBS, json=job_body(**changes))
    error = reply.json()["error"]
    assert (reply.status_code, error["field"]) == (400, field)
    assert why in error["message"]


def test_jobs_name_so_many_urls_and_no_more(api: Api, admin: httpx2.Client) -> None:
    made = make(admin, for_jobs=True)
    api.sql(
        "INSERT INTO webhook_endpoints (id, tenant_id, of_jobs, name, url, event_types)"
        " SELECT 'we_' || number, tenant_id, true, name, url || number, event_types"
        " FROM webhook_endpoints, generate_series(2, %s) AS number",
        MOST_OF_JOBS,
    )
    with api.client() as writer:
        known = submit(writer, webhook_url=PUBLIC)
        reply = writer.post(JOBS, json=job_body(webhook_url=f"{PUBLIC}/one/more"))
        assert (reply.status_code, reply.json()["error"]["field"]) == (400, "webhook_url")
        assert webhook_of(api, known) == made["id"]
        assert admin.delete(f"{PATH}/{made['id']}").status_code == 200
        fresh = webhook_of(api, submit(writer, webhook_url=PUBLIC))
        assert fresh not in {None, made["id"]}
