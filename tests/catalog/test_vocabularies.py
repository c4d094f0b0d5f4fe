"""Which vocabulary counts for whom at OpenAI, and what it takes to have one at hand."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from typing import Final

import pytest
import toktok

from shared.catalog.deployments import Model
from shared.catalog.tokens import at_hand, count_input, count_inputs, least_input
from shared.domain.generation import GenerationRequest

TAMIL: Final = "தமிழ் எழுத்துக்கள் " * 40
"""The older vocabulary takes three times as many tokens for it."""
OLDER: Final = (
    "text-embedding-3-small", "text-embedding-ada-002", "gpt-3.5-turbo", "gpt-3.5-turbo-instruct",
    "gpt-35-turbo-16k", "ft:gpt-3.5-turbo-0613", "gpt-4", "gpt-4-turbo", "gpt-4-32k", "davinci-002",
    "babbage-002",
)  # fmt: skip
NEWER: Final = ("gpt-4o", "gpt-4.1-mini", "gpt-4.5-preview", "ft:gpt-4o-mini", "o3", "gpt-6-luna")


def model(name: str) -> Model:
    return Model(id=name, context_window=1_000_000)


def asked(text: str) -> GenerationRequest:
    return GenerationRequest(model="m", prompt=text)


def tokens_of(text: str, encoding: str) -> int:
    return int(toktok.batch_count([text], encoding)[0])


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        *((name, "cl100k_base") for name in OLDER),
        *((name, "o200k_base") for name in NEWER),
    ],
)
def test_a_text_is_counted_by_the_vocabulary_of_its_family(name: str, encoding: str) -> None:
    called, newer = model(name), model("gpt-4.1-mini")
    exact = tokens_of(TAMIL, encoding)
    assert count_input(asked(TAMIL), called) == least_input(asked(TAMIL), called) == exact
    both = count_inputs([asked(TAMIL), asked(TAMIL)], [called, newer])
    assert both == [exact, tokens_of(TAMIL, "o200k_base")]
    assert at_hand([called, newer])


def test_the_first_models_are_never_counted_too_low() -> None:
    """Their vocabularies were smaller; each token of theirs is a byte at least."""
    assert count_input(asked(TAMIL), model("text-davinci-003")) >= 2 * len(TAMIL)


def test_a_vocabulary_is_loaded_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.catalog.tokens._at_hand", set())
    loading, together, real = Semaphore(1), Event(), toktok.batch_count

    def count(texts: Sequence[str], encoding: str) -> list[int]:
        if texts:
            return list(real(texts, encoding))
        if not loading.acquire(blocking=False):
            together.set()
        together.wait(0.1)
        loading.release()
        return []

    monkeypatch.setattr("toktok.batch_count", count)
    called = model("gpt-4.1-mini")
    with ThreadPoolExecutor(4) as threads:
        counts = set(threads.map(lambda _: count_input(asked("hi"), called), range(4)))
    assert counts == {1}
    assert not together.is_set()
