"""Each scripted fault, as the SDK meets it and as the ledger tells it."""

import asyncio
from typing import Any

import httpx2
import openai
import pytest

from simulator.call import Call
from simulator.faults import Script
from tests.simulator.process import MODEL, PLAIN, Simulator, ask, until

PROMPT = [{"role": "user", "content": "Why tea?"}]


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, openai.BadRequestError, None),
        (401, openai.AuthenticationError, "invalid_api_key"),
        (403, openai.PermissionDeniedError, None),
        (404, openai.NotFoundError, "model_not_found"),
        (429, openai.RateLimitError, "rate_limit_exceeded"),
        (500, openai.InternalServerError, None),
        (529, openai.InternalServerError, None),
    ],
)
async def test_a_scripted_status_is_its_error_class_and_free(
    simulator: Simulator, status: int, kind: type[openai.APIStatusError], code: str | None
) -> None:
    await simulator.script({"do": {"status": status}})
    with pytest.raises(kind) as caught:
        await simulator.ask()
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert (await simulator.stats())["billed_requests"] == 0


async def test_a_script_chooses_code_type_words_and_wait(simulator: Simulator) -> None:
    words = {"type": "insufficient_quota", "code": "credit_balance_exhausted", "message": "Pay."}
    await simulator.script({"do": {"status": 429, "retry_after": 1.5, **words}})
    with pytest.raises(openai.RateLimitError, match=r"Pay\.") as caught:
        await simulator.ask()
    assert (caught.value.type, caught.value.code) == (words["type"], words["code"])
    assert caught.value.response.headers["retry-after"] == "2"
    assert caught.value.response.headers["retry-after-ms"] == "1500"


@pytest.mark.parametrize(
    ("fault", "kind", "outcomes"),
    [
        ({"reset": "before"}, openai.APIConnectionError, []),
        ({"reset": "after"}, openai.APIConnectionError, ["reset"]),
        ({"truncate": True}, (openai.APIConnectionError, httpx2.RemoteProtocolError), ["truncate"]),
    ],
)
async def test_a_broken_connection_is_an_error_billed_or_not(
    simulator: Simulator, fault: dict[str, Any], kind: Any, outcomes: list[str]
) -> None:
    before = len(simulator.ledger())
    await simulator.script({"do": fault})
    with pytest.raises(kind):
        await simulator.ask()
    assert [line.outcome for line in simulator.ledger()[before:]] == outcomes
    assert (await simulator.stats())["billed_requests"] == len(outcomes)


async def test_a_hanging_call_is_billed_and_never_answered(simulator: Simulator) -> None:
    await simulator.script({"do": {"hang": True}, "times": 1})
    with pytest.raises(openai.APITimeoutError):
        await simulator.ask(timeout=0.5)
    assert simulator.ledger()[-1].outcome == "hang"

    async def let_go() -> bool:
        return int((await simulator.stats())["in_flight"]) == 0

    await until(let_go)


async def test_a_caller_who_hangs_up_pays_all_the_same(simulator: Simulator) -> None:
    await simulator.script({"do": {"stall": 30}})
    with pytest.raises(openai.APITimeoutError):
        await simulator.ask(timeout=0.3, extra_headers={"x-client-request-id": "att_gone"})

    async def billed() -> bool:
        return int((await simulator.stats())["billed_requests"]) == 1

    await until(billed)

    async def written() -> bool:
        return simulator.ledger()[-1].client_request_id == "att_gone"

    await until(written)
    assert simulator.ledger()[-1].outcome == "abandoned"


async def test_garbage_and_errors_under_200_are_billed(simulator: Simulator) -> None:
    await simulator.script(
        {"match": {"nth": [1]}, "do": {"garbage": True}},
        {"do": {"error_200": True, "code": "server_error", "message": "Lost."}},
    )
    body = {"model": MODEL, "messages": PROMPT}
    async with httpx2.AsyncClient(**PLAIN) as client:
        url, headers = f"{simulator.url}/v1/chat/completions", {"authorization": "Bearer k"}
        html = await client.post(url, json=body, headers=headers)
        error = await client.post(url, json=body, headers=headers)
    assert (html.status_code, html.headers["content-type"]) == (200, "text/html")
    assert html.text.startswith("<html>")
    assert (error.status_code, error.json()["error"]["message"]) == (200, "Lost.")
    assert [line.outcome for line in simulator.ledger()[-2:]] == ["garbage", "error_200"]


async def test_an_answer_can_be_put_into_its_mouth(simulator: Simulator) -> None:
    await simulator.script({"do": {"content": "\u0000 naïve", "finish_reason": "content_filter"}})
    choice = (await simulator.ask()).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("\u0000 naïve", "content_filter")
    assert simulator.ledger()[-1].outcome == "content"


async def test_usage_can_be_missing(simulator: Simulator) -> None:
    await simulator.script({"do": {"no_usage": True}})
    assert (await simulator.ask()).usage is None
    assert simulator.ledger()[-1].cost_nano > 0


async def test_slow_bytes_are_slow_and_whole(simulator: Simulator) -> None:
    await simulator.script({"do": {"slow_bytes": 0.001, "content": "x"}})
    began = asyncio.get_running_loop().time()
    answer = await simulator.ask()
    assert answer.choices[0].message.content == "x"
    assert asyncio.get_running_loop().time() - began > 0.3


async def test_a_cut_stream_ends_without_its_end(simulator: Simulator) -> None:
    await simulator.script({"do": {"cut": True}})
    async with simulator.client() as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Why?"}], stream=True
        )
        reasons = [chunk.choices[0].finish_reason async for chunk in stream]
    assert set(reasons) == {None}


async def test_a_truncated_stream_breaks(simulator: Simulator) -> None:
    await simulator.script({"do": {"truncate": True}})
    broken = (httpx2.RemoteProtocolError, openai.APIConnectionError)
    async with simulator.client() as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Why?"}], stream=True
        )
        first = await anext(stream)
        with pytest.raises(broken):
            await anext(chunk async for chunk in stream if chunk.choices[0].finish_reason)
    assert first.choices[0].delta.role == "assistant"


async def test_the_first_rule_that_strikes_decides(simulator: Simulator) -> None:
    await simulator.script(
        {"match": {"client_request_id": "att_1"}, "do": {"content": "by id"}},
        {"match": {"contains": "poison"}, "times": 1, "do": {"content": "by words"}},
        {"match": {"model": "gpt-4o"}, "do": {"content": "by model"}},
    )
    async with simulator.client() as client:
        answers = [
            await ask(client, "poison", extra_headers={"x-client-request-id": "att_1"}),
            await ask(client, "a poison"),
            await ask(client, "a poison", model="gpt-4o"),
            await ask(client, "a poison"),
        ]
    contents = [answer.choices[0].message.content or "" for answer in answers]
    assert contents[:3] == ["by id", "by words", "by model"]
    assert contents[3] not in contents[:3]


async def test_a_bad_script_is_refused_and_the_old_one_stays(simulator: Simulator) -> None:
    await simulator.script({"do": {"content": "old"}})
    async with httpx2.AsyncClient(**PLAIN) as client:
        reply = await client.post(f"{simulator.url}/_sim/script", json=[{"do": {"stauts": 500}}])
    assert reply.status_code == 400
    assert reply.json()["error"] == "0.do.stauts: Extra inputs are not permitted"
    assert (await simulator.ask()).choices[0].message.content == "old"


def test_the_same_seed_throws_the_same_dice() -> None:
    def thrown(seed: int) -> list[str]:
        script = Script(seed)
        script.load([{"probability": 0.3, "do": {"hang": True}}])
        call = Call(model=MODEL, text="", input_tokens=1, client_request_id="", charge=1)
        return [script.fault_for("openai", call).outcome for _ in range(200)]

    assert thrown(7) == thrown(7) != thrown(8)
    assert 30 < thrown(7).count("hang") < 90
