"""GET /jobs/{id}/events: what watchers of a job are told, whatever happens on the way."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2
import pytest
import redis
from openai._streaming import SSEDecoder

from shared.domain.generation import Delta
from shared.security.keys import Scope
from shared.streamlog import key_of
from tests.api.conftest import Api, api, api_settings, make_key, served
from tests.streams.stage import STRANGE, WORDS, Stage, has_heard, staged, tell_slowly

__all__ = ["api", "api_settings", "served"]
TEXT = "".join(WORDS)


@pytest.fixture
async def stage(api: Api, redis_url: str) -> AsyncIterator[Stage]:
    async with staged(api.url, api.database_url, api.key, redis_url) as stage:
        yield stage


async def test_a_watcher_hears_states_the_answer_as_it_comes_and_the_end(stage: Stage) -> None:
    job_id = await stage.accept()
    watcher, watching = stage.watcher(job_id)
    attempt = await stage.start()
    told = stage.opened(attempt)
    told(Delta(text="Hel"))
    await has_heard(watcher, "Hel")
    told(Delta(text="lo"))
    await has_heard(watcher, "Hello")
    await stage.finish(attempt, "Hello")
    await watching
    assert (watcher.text, watcher.rewinds) == ("Hello", [])
    assert watcher.job["result"]["content"] == "Hello"
    assert watcher.job == (await stage.client.get(f"/api/v1/jobs/{job_id}")).json()
    assert watcher.states[-1] == "succeeded"
    assert sorted(watcher.ids) == watcher.ids == sorted(set(watcher.ids))


async def test_a_job_without_a_stream_tells_its_states_and_its_end(stage: Stage) -> None:
    job_id = await stage.accept(stream=False)
    watcher, watching = stage.watcher(job_id)

    attempt = await stage.start()
    await stage.finish(attempt, "fine")
    await watching
    assert (watcher.text, watcher.rewinds, watcher.ids) == ("", [], [])
    assert watcher.states[-1] == "succeeded"
    assert watcher.job["result"]["content"] == "fine"
    late, watching = stage.watcher(job_id)
    await watching
    assert (late.states, late.job) == (["succeeded"], watcher.job)


async def test_twenty_watchers_and_a_deaf_one_hear_the_same_at_their_own_pace(
    stage: Stage, api: Api
) -> None:
    job_id = await stage.accept()
    attempt = await stage.start()
    told = stage.opened(attempt)
    address = urlsplit(api.url)
    with socket.create_connection((address.hostname, address.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        path = f"GET /api/v1/jobs/{job_id}/events HTTP/1.1"
        head = [path, f"host: {address.netloc}", f"authorization: Bearer {api.key}", "", ""]
        deaf.sendall("\r\n".join(head).encode())
        crowd = [stage.watcher(job_id) for _ in range(20)]
        words = [word * 100 for word in WORDS]
        await tell_slowly(told, words)
        await stage.finish(attempt, "".join(words))
        async with asyncio.timeout(20):
            await asyncio.gather(*(watching for _, watching in crowd))
    for watcher, _ in crowd:
        assert watcher.text == watcher.job["result"]["content"] == "".join(words)
        assert watcher.rewinds == []


async def test_who_comes_back_hears_what_was_missed_and_nothing_twice(stage: Stage) -> None:
    job_id = await stage.accept()
    attempt = await stage.start()
    told = stage.opened(attempt)
    watcher, watching = stage.watcher(job_id)
    telling = asyncio.create_task(tell_slowly(told, WORDS, 0.004))
    for number in range(1, 6):
        await has_heard(watcher, TEXT[: number * len(TEXT) // 8])
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        watching = asyncio.create_task(watcher.watch())
    await telling
    await stage.finish(attempt, TEXT)
    await watching
    assert (watcher.text, watcher.rewinds, watcher.connections) == (TEXT, [], 6)
    assert len(watcher.ids) == len(set(watcher.ids))


async def test_an_emptied_redis_is_not_noticed(stage: Stage) -> None:
    job_id = await stage.accept()
    attempt = await stage.start()
    told = stage.opened(attempt)
    watcher, watching = stage.watcher(job_id)
    await tell_slowly(told, WORDS[:100])
    await has_heard(watcher, "".join(WORDS[:50]))
    with redis.Redis.from_url(stage.redis_url) as client:
        client.flushall()
    late, late_watching = stage.watcher(job_id)
    await tell_slowly(told, WORDS[100:])
    await stage.finish(attempt, TEXT)
    await asyncio.gather(watching, late_watching)
    assert (watcher.text, watcher.rewinds) == (TEXT, [])
    assert (late.text, late.rewinds) == (TEXT, [])


async def test_after_the_death_of_a_worker_the_second_answer_is_told_whole(stage: Stage) -> None:
    job_id = await stage.accept()
    told = stage.opened(await stage.start())
    watcher, watching = stage.watcher(job_id)
    told(Delta(text="never to be ended"))
    await has_heard(watcher, "never to be ended")
    await stage.kill()
    await stage.life.kill_worker()
    await stage.life.register("wrk_b")
    [attempt] = await stage.life.start(await stage.life.release(), "wrk_b")
    told = stage.opened(attempt)
    await tell_slowly(told, WORDS)
    await stage.finish(attempt, TEXT)
    await watching
    assert (watcher.text, watcher.rewinds) == (TEXT, ["new_attempt"])
    assert watcher.job["result"]["content"] == TEXT
    late, watching = stage.watcher(job_id)
    await watching
    assert (late.text, late.rewinds) == (TEXT, [])


async def test_a_log_that_has_gone_is_told_as_a_rewind_and_the_result(stage: Stage) -> None:
    job_id = await stage.accept()
    attempt = await stage.start()
    told = stage.opened(attempt)
    watcher, watching = stage.watcher(job_id)
    told(Delta(text="Hel"))
    await has_heard(watcher, "Hel")
    watching.cancel()
    told(Delta(text="lo"))
    await stage.finish(attempt, "Hello")
    whole, watching = stage.watcher(job_id)
    await watching
    assert (whole.text, whole.rewinds) == ("Hello", [])
    with redis.Redis.from_url(stage.redis_url) as client:
        client.delete(key_of(job_id))
    for last in (watcher.last, None):
        back, watching = stage.watcher(job_id, last=last)
        await watching
        assert (back.text, back.rewinds) == ("", ["incomplete"])
        assert back.job["result"]["content"] == "Hello"


async def test_a_log_that_lost_its_beginning_is_told_as_a_rewind(stage: Stage) -> None:
    job_id = await stage.accept()
    attempt = await stage.start()
    told = stage.opened(attempt, log_bytes=3000)
    await tell_slowly(told, [word * 20 for word in WORDS], 0.01)
    late, watching = stage.watcher(job_id)
    await stage.finish(attempt, "long")
    await watching
    assert (late.text, late.rewinds) == ("", ["incomplete"])
    assert late.job["result"]["content"] == "long"


async def test_what_nobody_can_read_of_one_log_is_a_gap_there_and_nothing_elsewhere(
    stage: Stage,
) -> None:
    spoilt, lost, sound = [stage.watcher(await stage.accept()) for _ in range(3)]
    attempts = await stage.life.start(await stage.life.release())
    ears = stage.all_opened(attempts)
    for told in ears:
        told(Delta(text="Hel"))
    for watcher, _ in (spoilt, lost, sound):
        await has_heard(watcher, "Hel")
    with redis.Redis.from_url(stage.redis_url) as client:
        # As a worker of a later version might write it, and as nobody would.
        client.xadd(key_of(spoilt[0].job_id), {"k": "of a later version"}, id="1-3")
        client.set(key_of(lost[0].job_id), b"\xff")
    for told in ears:
        told(Delta(text="lo"))
    await has_heard(sound[0], "Hello")
    for attempt in attempts:
        await stage.finish(attempt, "Hello")
    await asyncio.gather(*(watching for _, watching in (spoilt, lost, sound)))
    assert (sound[0].text, sound[0].rewinds) == ("Hello", [])
    for watcher, _ in (spoilt, lost):
        assert (watcher.text, watcher.rewinds) == ("", ["incomplete"])
        assert watcher.job["result"]["content"] == "Hello"


async def test_the_decoder_of_an_official_client_reads_an_answer_with_strange_characters(
    stage: Stage,
) -> None:
    job_id = await stage.accept()
    attempt = await stage.start()
    stage.opened(attempt)(Delta(text=TEXT, tool_call=0, arguments=json.dumps([STRANGE])))
    await stage.finish(attempt, TEXT)
    path, told = f"/api/v1/jobs/{job_id}/events", []
    async with stage.client.stream("GET", path) as reply:
        told = [each async for each in SSEDecoder().aiter_bytes(reply.aiter_bytes()) if each.event]
    [delta] = [each.json() for each in told if each.event == "delta"]
    assert (delta["text"], json.loads(delta["arguments"])) == (TEXT, [STRANGE])
    assert told[-1].event == "end"
    assert told[-1].json()["result"]["content"] == TEXT


async def test_who_leaves_changes_nothing(stage: Stage) -> None:
    job_id = await stage.accept()
    attempt = await stage.start()
    told = stage.opened(attempt)
    watcher, watching = stage.watcher(job_id)
    told(Delta(text="Hel"))
    await has_heard(watcher, "Hel")
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    told(Delta(text="lo"))
    await stage.finish(attempt, "Hello")
    job = (await stage.client.get(f"/api/v1/jobs/{job_id}", params={"wait": 5})).json()
    assert (job["state"], job["result"]["content"]) == ("succeeded", "Hello")
    assert job["cost"]["nano_usd"] == 42


async def test_a_cancelled_job_ends_its_stream(stage: Stage) -> None:
    job_id = await stage.accept()
    watcher, watching = stage.watcher(job_id)
    (await stage.client.post(f"/api/v1/jobs/{job_id}/cancel")).raise_for_status()
    async with asyncio.timeout(5):
        await watching
    assert (watcher.job["state"], watcher.rewinds) == ("cancelled", [])


async def test_only_the_owner_may_watch_and_only_with_the_right_to_read(
    stage: Stage, api: Api
) -> None:
    job_id = await stage.accept()
    path = f"{api.url}/api/v1/jobs/{job_id}/events"
    blind = await make_key(api.database_url, "one", Scope.JOBS_WRITE)
    async with httpx2.AsyncClient(timeout=10) as client:
        for key, status in ((api.other_key, 404), (blind, 403), ("pm_live_x", 401)):
            reply = await client.get(path, headers={"authorization": f"Bearer {key}"})
            assert reply.status_code == status
        reply = await client.get(
            path, headers={"authorization": f"Bearer {api.key}"}, params={"after": "then"}
        )
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, "after")
