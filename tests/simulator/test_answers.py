"""Answers: repeatable by a seed, and inside their spread."""

from simulator.answers import Answer, Oracle, Spread

BODY = b"the same body"


def answers(seed: int) -> list[Answer]:
    oracle = Oracle(seed, Spread(latency_ms=100, latency_spread=0.5))
    return [oracle.answer(BODY, 150) for _ in range(500)]


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
