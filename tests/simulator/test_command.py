"""The command `python -m simulator`: what it says, and when it refuses."""

from pathlib import Path

import openai
import pytest

from tests.simulator.process import Simulator, refusal, running_simulator, written


async def test_the_ready_file_holds_the_url(tmp_path: Path) -> None:
    with running_simulator(tmp_path, api_key="sk-only") as simulator:
        assert (tmp_path / "url").read_text() == simulator.url
        with pytest.raises(openai.AuthenticationError) as caught:
            await simulator.ask()
        async with simulator.client("sk-only") as client:
            assert (await client.models.list()).data
    assert caught.value.code == "invalid_api_key"


async def test_a_script_file_and_limits_hold_from_the_start(tmp_path: Path) -> None:
    script = written(tmp_path, [{"do": {"content": "scripted"}}])
    with running_simulator(tmp_path, script=script, rpm=1, model="acme=1,1,1") as simulator:
        answer = await simulator.ask(model="acme")
        with pytest.raises(openai.RateLimitError):
            await simulator.ask()
    assert answer.choices[0].message.content == "scripted"
    assert answer.usage is not None
    bill = simulator.ledger()[0].cost_nano
    assert bill == answer.usage.total_tokens * 1000


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--rpm", "-1"), "--rpm"),
        (("--window", "0"), "--window"),
        (("--short-windows", "1+none"), "--short-windows"),
        (("--account", "nobody:rpm=1"), "--account nobody:rpm=1"),
        (("--account", "xai:rpm=many"), "--account xai:rpm=many"),
        (("--latency-spread", "2"), "--latency-spread"),
        (("--output-tokens", "9-2"), "--output-tokens"),
        (("--port", "70000"), "--port"),
        (("--host", "192.0.2.1"), "--host 192.0.2.1"),
        (("--model", "acme=1,2"), "--model"),
        (("--model", "acme=1,NaN,2"), "--model"),
        (("--ledger", "/nowhere/bill.jsonl"), "/nowhere/bill.jsonl"),
        (("--surprise",), "--surprise"),
    ],
)
def test_a_bad_option_is_refused_in_one_line_that_names_it(
    flags: tuple[str, ...], word: str
) -> None:
    told = refusal(*flags)
    assert word in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("rules", [[{"do": {"status": 200}}], {"do": {}}, [{"probability": 2}]])
def test_a_bad_script_file_is_refused_in_one_line_that_names_it(
    tmp_path: Path, rules: object
) -> None:
    path = written(tmp_path, rules)
    told = refusal("--script", str(path))
    assert told.startswith(f"simulator: --script {path}: ")
    assert told.count("\n") == 1


async def test_a_reset_forgets_sums_script_and_window_but_not_limits(
    simulator: Simulator,
) -> None:
    await simulator.limit(rpm=1)
    await simulator.script({"do": {"content": "old"}})
    await simulator.ask()
    await simulator.post("reset", {})
    stats = await simulator.stats()
    assert (stats["accepted"], stats["billed_nano"], stats["per_second"]) == (0, 0, [])
    assert (await simulator.ask()).choices[0].message.content != "old"
    with pytest.raises(openai.RateLimitError):
        await simulator.ask()


async def test_stats_tell_each_second(simulator: Simulator) -> None:
    await simulator.limit(rpm=2)
    for _ in range(2):
        await simulator.ask()
    with pytest.raises(openai.RateLimitError):
        await simulator.ask()
    stats = await simulator.stats()
    assert sum(accepted for _, accepted, _ in stats["per_second"]) == 2
    assert sum(rejected for _, _, rejected in stats["per_second"]) == 1
    assert stats["first_at"] <= stats["last_at"]
    assert (stats["answered"], stats["max_requests_in_window"]) == (2, 2)
