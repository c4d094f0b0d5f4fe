"""Answers: repeatable by a seed, and inside their spread."""

from typing import Any

from simulator.answers import Oracle, Spread
from simulator.call import Answer, Call

BODY = b"the same body"


def call(**changes: Any) -> Call:
    plain = {"model": "m", "text": "", "input_tokens": 1, "client_request_id": "", "charge": 1}
    return Call(**{**plain, **changes})


def answers(seed: int) -> list[Answer]:
    oracle = Oracle(seed, Spread(latency_ms=100, latency_spread=0.5))
    return [oracle.answer(call(max_tokens=150), BODY) for _ in range(500)]


def test_the_same_seed_gives_the_same_answers() -> None:
    assert answers(7) == answers(7) != answers(8)


def test_lengths_and_latencies_fill_their_spread_and_keep_to_it() -> None:
    given = answers(7)
    assert {answer.tokens for answer in given} >= {20, 21, 149, 150}
    assert all(20 <= answer.tokens <= 150 for answer in given)
    assert all(0.05 <= answer.latency <= 0.15 for answer in given)
    assert min(answer.latency for answer in given) < 0.055
    assert max(answer.latency for answer in given) > 0.145


def test_an_answer_begins_with_a_word_of_its_own() -> None:
    assert len({answer.text.split()[0] for answer in answers(7)}) == 500


def test_a_stop_sequence_ends_the_answer_and_is_not_part_of_it() -> None:
    answer = Oracle(7, Spread()).answer(call(stop=("nothing", " fox")), BODY)
    assert answer.text.endswith("quick brown")
    assert (answer.stop, answer.finish_reason) == (" fox", "stop")
    assert answer.tokens == -(-len(answer.text) // 4)


def test_thought_is_part_of_what_is_written_and_comes_first() -> None:
    oracle = Oracle(7, Spread())
    free = oracle.answer(call(thought=100), BODY)
    assert 50 <= free.thought_tokens <= 150
    assert free.tokens >= free.thought_tokens + 20
    cut = oracle.answer(call(thought=100, max_tokens=10), BODY)
    assert (cut.text, cut.tokens, cut.thought_tokens) == ("", 10, 10)
    assert cut.finish_reason == "length"
