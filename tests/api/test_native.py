"""The native forms: prompts and messages in, answers out, each of them a job like any other."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import httpx2
import orjson
import pytest

from shared.db.budgets import read_version
from shared.db.engine import Database
from shared.db.leave import leave
from shared.db.release import Permit, due_jobs, release
from shared.db.start import start
from shared.db.workers import WorkerRow, register
from shared.domain.ids import IdKind, new_id
from shared.domain.job import JobState
from tests.api.conftest import MODEL, Api, eventually
from tests.life import HOLD, answered

RESULT: Final = {
    "content": "Rayleigh.",
    "finish_reason": "stop",
    "model": "gpt-4.1-mini-2025-04-14",
    "usage": {"input_tokens": 9, "cached_tokens": 4, "output_tokens": 3, "reasoning_tokens": 0},
}
CHAT: Final = {"model": MODEL, "messages": [{"role": "user", "content": "Why?"}]}
PROMPT: Final = {"model": MODEL, "prompt": "Why?", "system": "Be short."}
OLD: Final = {
    "/api/v1/ai/completions": "/api/v1/app/ai/completions",
    "/api/v1/ai/chat": "/api/v1/app/ai/chat",
    "/api/v1/ai/chat/routed": "/api/v1/app/ai/chat/routed",
    "/api/v1/generate": "/api/generate",
}


@pytest.fixture(scope="module")
def api_settings() -> dict[str, str]:
    return {"PROMPTMILL_API__SYNC_WAIT": "8"}


async def work(database_url: str, route: str, **report: Any) -> None:
    """Let the job of this route be answered as a worker would."""
    database = Database(database_url)
    hand = WorkerRow(id=new_id(IdKind.WORKER), host="h", pid=1, queues=("openai",), capacity=9)
    async with database.transaction() as connection:
        await register(connection, hand, 60.0)
        [due] = await due_jobs(connection, route, 10)
        permit = Permit(
            job_id=due.id, attempt_id=new_id(IdKind.ATTEMPT), deployment=f"openai/{MODEL}",
            queue="openai", permit_tokens=due.tokens, hold_nano=HOLD,
        )  # fmt: skip
        await release(connection, [permit], budgets_version=await read_version(connection))
        [attempt] = await start(connection, [permit.attempt_id], hand.id)
        told = {"result": orjson.dumps(RESULT).decode(), **report}
        await leave(connection, [answered(attempt, **told)])
    await database.close()


def answer_next(api: Api, **report: Any) -> None:
    """Answer the job that somebody is about to ask for."""
    waiting = "SELECT route FROM jobs WHERE state = 'queued'"
    [(route,)] = eventually(lambda: api.sql(waiting), "a job waits")
    asyncio.run(work(api.database_url, route, **report))


@pytest.fixture
def hand() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def asked(api: Api, hand: ThreadPoolExecutor, path: str, body: Any, **report: Any) -> Any:
    """The reply to a request that a worker answers meanwhile."""
    working: Future[None] = hand.submit(answer_next, api, **report)
    with api.client() as client:
        reply = client.post(path, json=body)
    working.result(20)
    return reply


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/ai/completions", PROMPT),
        ("/api/v1/ai/chat", CHAT),
        ("/api/v1/ai/chat/routed", {**CHAT, "preference": "cost"}),
        ("/api/v1/generate", PROMPT),
        ("/api/v1/generate", CHAT),
    ],
)
def test_a_form_waits_for_its_answer_at_each_of_its_paths(
    api: Api, hand: ThreadPoolExecutor, path: str, body: Any
) -> None:
    for each in (path, OLD[path]):
        reply = asked(api, hand, each, body)
        assert reply.status_code == 200, reply.text
        told = reply.json()
        assert (told["text"], told["finish_reason"], told["model"]) == (
            "Rayleigh.", "stop", "gpt-4.1-mini-2025-04-14",
        )  # fmt: skip
        assert told["usage"] == RESULT["usage"]
        assert told["cost"]["nano_usd"] == 42
        assert told["complexity"] == ("SIMPLE" if "routed" in path else None)
        assert reply.headers["location"] == told["status_url"]
        assert reply.headers["x-promptmill-cost-usd"] == told["cost"]["usd"]
        with api.client() as client:
            job = client.get(told["status_url"]).json()
            assert client.get(f"/api/jobs/{told['id']}").json() == job
        assert (job["state"], job["lane"]) == ("succeeded", "interactive")


def test_what_is_asked_reaches_the_job(api: Api) -> None:
    body = {
        **PROMPT, "max_tokens": 7, "temperature": 0.5, "stop": ["."],
        "promptmill": {"lane": "bulk", "project": "p", "tags": ["t"], "deadline_seconds": 60},
    }  # fmt: skip
    with api.client() as client:
        made = client.post("/api/v1/generate/async", json=body)
    assert made.status_code == 202, made.text
    job = made.json()
    assert made.headers["location"] == job["status_url"] == f"/api/v1/jobs/{job['id']}"
    assert (job["lane"], job["project"], job["tags"]) == ("bulk", "p", ["t"])
    [(request, face)] = api.sql("SELECT request, face FROM payloads JOIN jobs ON id = job_id")
    assert face is None
    assert request == {
        "model": MODEL, "max_tokens": 7, "temperature": 0.5, "stop": ["."],
        "messages": [
            {"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"},
        ],
    }  # fmt: skip


def test_without_a_model_it_is_the_default_and_the_router_chooses_for_the_routed_form(
    api: Api,
) -> None:
    hard = "Prove step by step that there is no largest prime, and write an essay about it."
    with api.client() as client:
        plain = client.post("/api/generate/async", json={"prompt": "Hello"}).json()
        status = client.get("/api/v1/ai/status").json()
        quick = {"authorization": f"Bearer {api.key}"}
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(
                f"{api.url}/api/v1/ai/chat/routed", json={"prompt": hard, "preference": "quality"},
                headers=quick, timeout=1.5,
            )  # fmt: skip
        routed = client.get("/api/v1/jobs").json()["data"][0]
        found = client.get("/api/v1/models").json()["data"]
    assert plain["model"] == status["default_model"]
    [chosen] = [each for each in found if each["id"] == routed["model"]]
    assert chosen["tier"] == "high"
    assert routed["state"] == "queued", "its caller left, the job goes on"


def test_out_of_time_the_reply_names_the_job_and_a_retry_finds_it(api: Api) -> None:
    key = {"idempotency-key": "once"}
    with api.client() as client:
        late = client.post("/api/v1/ai/chat", json=CHAT, headers=key)
        assert late.status_code == 504, late.text
        [job] = client.get("/api/v1/jobs").json()["data"]
        assert job["status_url"] in late.json()["error"]["message"]
        assert late.headers["x-should-retry"] == "false"
        answer_next(api)
        again = client.post("/api/v1/ai/chat", json=CHAT, headers=key)
        other = client.post("/api/v1/ai/chat", json={**CHAT, "max_tokens": 3}, headers=key)
    assert (again.status_code, again.json()["id"]) == (200, job["id"])
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 422


def test_a_job_that_fails_is_an_error_that_says_why(api: Api, hand: ThreadPoolExecutor) -> None:
    reply = asked(
        api, hand, "/api/v1/generate", PROMPT, result=None, job_state=JobState.FAILED,
        failure_kind="content_filtered", error="The prompt was filtered.",
    )  # fmt: skip
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert (error["code"], error["message"]) == ("content_filtered", "The prompt was filtered.")


def test_a_stream_is_told_in_the_words_of_a_jobs_events(api: Api) -> None:
    began, told = threading.Event(), bytearray()

    def listen() -> None:
        body = {**CHAT, "stream": True}
        with api.client() as client, client.stream("POST", "/api/v1/ai/chat", json=body) as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            assert reply.headers["location"].startswith("/api/v1/jobs/job_")
            for piece in reply.iter_bytes():
                began.set()
                told.extend(piece)

    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(listen)
        assert began.wait(20)
        answer_next(api)
        listening.result(30)
    last = bytes(told).strip().rpartition(b"\n\n")[2]
    assert last.startswith(b"event: end\n")
    job = orjson.loads(last.partition(b"data: ")[2])
    assert (job["state"], job["result"]["content"]) == ("succeeded", "Rayleigh.")
    assert b'"state":"queued"' in told


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/v1/ai/completions", {"prompt": ""}, "prompt"),
        ("/api/v1/ai/completions", {**PROMPT, "tools": []}, "tools"),
        ("/api/v1/ai/chat", {"messages": []}, "messages"),
        ("/api/v1/ai/chat", {"messages": [{"role": "x", "content": ""}]}, "messages[0].role"),
        ("/api/v1/generate", {"prompt": "a", "stream": True}, "stream"),
        ("/api/v1/generate", {**CHAT, "prompt": "a"}, "body"),
        ("/api/v1/generate", {}, "body"),
        ("/api/v1/generate/async", {**PROMPT, "promptmill": {"hurry": 1}}, "promptmill.hurry"),
        ("/api/v1/generate/async", {**PROMPT, "model": "gpt-0"}, "model"),
        ("/api/v1/ai/chat/routed", {**CHAT, "complexity": "HUGE"}, "complexity"),
        ("/api/v1/ai/chat/routed",
         {**CHAT, "preference": "cost", "promptmill": {"policy": {"prefer": "speed"}}},
         "promptmill.policy.prefer"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(api: Api, path: str, body: Any, field: str) -> None:
    with api.client() as client:
        refused = client.post(path, json=body)
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, field), refused.text
    assert api.sql("SELECT count(*) FROM jobs") == [(0,)]


def test_the_status_tells_who_can_be_called(api: Api) -> None:
    with api.client() as client:
        unknown = client.get("/api/v1/ai/status").json()
        assert client.get("/api/v1/app/ai/status").json() == unknown
        api.sql(
            "INSERT INTO workers (id, host, pid, queues, missing, capacity, state, lease_until)"
            " VALUES ('wrk_2', 'h', 1, '{openai}', '{}', 9, 'alive',"
            " clock_timestamp() + interval '1 hour')"
        )
        known = client.get("/api/v1/ai/status").json()
    assert unknown["ready"] is None
    assert known["ready"] is True
    [openai] = [each for each in known["providers"] if each["callable"]]
    assert (openai["id"], openai["health"]) == ("openai", "unknown")
    assert MODEL in openai["models"]
    assert {"smart", "fast", "cheap", "best"} <= set(known["routes"])
