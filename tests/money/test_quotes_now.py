"""A quote says what a submission of its lines would be refused with at this moment."""

import json
from typing import Any

from shared.domain.money import NANO_PER_USD
from tests.api.conftest import Api, api, api_settings, job_body, served
from tests.api.test_limits import limited
from tests.api.test_over_budget import budget, openai, spend
from tests.money.test_quotes import asked, quote

__all__ = ["api", "api_settings", "openai", "served"]


def refusals(api: Api, *jobs: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = quote(api, *jobs, **params)["refused_now"]
    return found


def bulk(api: Api, *jobs: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The status and the error of a submission."""
    with api.client() as client:
        reply = client.post("/api/v1/jobs/bulk", content="\n".join(map(json.dumps, jobs)))
    return reply.status_code, reply.json().get("error", {})


def test_a_full_queue_is_told_as_a_submission_would_be_refused(api: Api) -> None:
    limited(api, max_queued=3)
    two = [job_body("one"), job_body("two")]
    assert refusals(api, *two) == []
    assert bulk(api, *two)[0] == 202
    [told] = refusals(api, *two)
    status, error = bulk(api, *two)
    assert (status, told["code"], told["line"]) == (429, "queue_full", None)
    assert told["message"].partition(";")[0] == error["message"].partition(";")[0]
    assert told["retry_after"] >= 1
    assert refusals(api, *two, of=100) == [], "a piece of a file goes as room comes"
    assert bulk(api, job_body("three"))[0] == 202
    assert [each["code"] for each in refusals(api, *two, of=100)] == ["queue_full"]
    [never] = refusals(api, *(job_body(f"{n}") for n in range(4)))
    assert (never["code"], never["retry_after"]) == ("body_too_large", None)


def test_a_budget_without_room_is_told_with_its_first_line(openai: Api) -> None:
    budget(openai, NANO_PER_USD)
    assert refusals(openai, job_body("one")) == []
    spend(openai, NANO_PER_USD - 1)
    lines = [job_body("free", rehearse=True), job_body("one"), job_body("two")]
    [told] = refusals(openai, *lines)
    status, error = bulk(openai, *lines)
    assert (status, told["code"], told["line"]) == (402, "budget_exceeded", 2)
    assert error["message"] == f"line 2: {told['message']}"


def test_the_budget_that_a_batch_would_get_refuses_as_if_it_were_there(openai: Api) -> None:
    wish = asked(batch="b", batch_max_cost="0.000000001")
    [told] = refusals(openai, wish)
    status, error = bulk(openai, wish)
    assert (status, error["code"], told["code"]) == (402, "budget_exceeded", "budget_exceeded")
    assert "batch:b" in told["message"]
