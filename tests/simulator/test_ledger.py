"""The bill: exact, and on disk before anybody has the answer."""

import asyncio
import hashlib
import signal
from decimal import Decimal
from pathlib import Path

import openai
from openai.types.chat import ChatCompletion

from simulator.ledger import read_ledger
from simulator.prices import ModelPrice, model_prices
from tests.simulator.process import MODEL, Simulator, ask, running_simulator


async def test_a_line_tells_the_call_and_its_exact_cost(simulator: Simulator) -> None:
    answer = await simulator.ask(extra_headers={"x-client-request-id": "att_7"})
    line = simulator.ledger()[-1]
    text = answer.choices[0].message.content or ""
    assert answer.usage is not None
    assert line.client_request_id == "att_7"
    assert (line.model, line.outcome, line.status) == (MODEL, "answered", 200)
    assert line.prompt_tokens == answer.usage.prompt_tokens
    assert line.completion_tokens == answer.usage.completion_tokens
    assert line.cost_nano == line.prompt_tokens * 400 + line.completion_tokens * 1600
    assert line.answer_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (await simulator.stats())["billed_nano"] == line.cost_nano


def test_a_cost_is_rounded_once_and_halves_go_up() -> None:
    price = ModelPrice(Decimal("0.25"), Decimal("0.05"), Decimal("0.5"))
    assert price.cost_nano(2, 0, 0) == 1
    assert price.cost_nano(1, 0, 0) == 0
    assert price.cost_nano(3, 1, 2) == 2


def test_a_model_can_be_added_with_its_price() -> None:
    prices = model_prices(["acme/tea=0.1,0.05,0.2"])
    assert prices["acme/tea"] == ModelPrice(Decimal(100), Decimal(50), Decimal(200))
    listed = prices[MODEL]
    assert [listed.input, listed.cached, listed.output] == [Decimal(n) for n in (400, 100, 1600)]


def test_a_long_prompt_is_billed_at_its_tier() -> None:
    price = model_prices([], "anthropic")["claude-haiku-5-5"]
    assert price.cost_nano(100_000, 0, 1) == 100_000 * 100 + 500
    assert price.cost_nano(100_001, 0, 1) == 100_001 * 500 + 2500
    assert price.cost_nano(30, 10, 0, cache_write=10, cache_write_1h=10) == 100 + 1250 + 2000


async def test_every_answer_that_got_out_before_a_crash_is_in_the_ledger(tmp_path: Path) -> None:
    with running_simulator(tmp_path, latency_ms=5) as doomed:
        got: list[ChatCompletion] = []
        async with doomed.client() as client:

            async def keep_asking() -> None:
                while True:
                    got.append(await ask(client, "quick"))
                    if len(got) == 200:
                        doomed.process.kill()

            await asyncio.gather(*(keep_asking() for _ in range(20)), return_exceptions=True)
        doomed.process.wait()
        billed = {line.answer_sha256 for line in doomed.ledger()}
    texts = [answer.choices[0].message.content or "" for answer in got]
    assert len(texts) >= 200
    assert {hashlib.sha256(text.encode()).hexdigest() for text in texts} <= billed


async def test_a_half_written_line_is_left_out_and_cut_off(tmp_path: Path) -> None:
    with running_simulator(tmp_path) as first:
        await first.ask()
    with first.ledger_path.open("ab") as file:
        file.write(b'{"request_id": "req_ha')
    assert len(read_ledger(first.ledger_path)) == 1
    with running_simulator(tmp_path) as second:
        await second.ask()
    lines = read_ledger(second.ledger_path)
    assert len(lines) == len({line.request_id for line in lines}) == 2


async def test_a_sigterm_writes_what_was_begun_and_ends_well(tmp_path: Path) -> None:
    with running_simulator(tmp_path, latency_ms=60_000) as simulator:
        async with simulator.client() as client:
            asking = asyncio.gather(
                *(ask(client, "slow") for _ in range(10)), return_exceptions=True
            )
            while (await simulator.stats())["in_flight"] < 10:
                assert not asking.done()
            assert await asyncio.to_thread(simulator.end, signal.SIGTERM) == 0
            replies = await asking
    assert all(isinstance(reply, openai.APIConnectionError) for reply in replies)
    assert [line.outcome for line in simulator.ledger()] == ["abandoned"] * 10
