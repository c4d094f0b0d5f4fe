"""Counting tokens holds nobody else up: what takes long goes to a thread."""

from typing import Any, Final

import orjson
import pytest

from api.jobs.parse import parse_as
from api.jobs.schemas import JobSubmit
from api.jobs.submit import LARGE_BYTES, Submission, is_quick
from shared.catalog.load import load_catalog
from shared.catalog.tokens import count_input

CATALOG: Final = load_catalog()
SAID: Final = [{"role": "user", "content": "hi"}]
LARGE: Final = {"type": "object", "description": "x" * LARGE_BYTES}


def submission(model: str = "gpt-4.1-mini", **fields: Any) -> Submission:
    body = {"request": {"model": model, "messages": SAID, **fields}}
    return Submission(parse_as(JobSubmit, body), body, len(orjson.dumps(body)), None)


@pytest.fixture(autouse=True)
def vocabulary() -> None:
    """The one of gpt-4.1-mini is at hand."""
    hi = submission().asked.request
    count_input(hi, CATALOG.models["gpt-4.1-mini"])


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"name": "look", "parameters": LARGE}]},
        {"response_schema": {"schema": LARGE}},
        {"messages": [{"role": "user", "content": "x" * LARGE_BYTES}]},
    ],
)
def test_whatever_makes_a_body_large_is_counted_in_a_thread(fields: dict[str, Any]) -> None:
    assert is_quick(CATALOG, [submission()])
    assert not is_quick(CATALOG, [submission(**fields)])


def test_many_small_ones_are_as_good_as_a_large_one() -> None:
    each = submission()
    assert is_quick(CATALOG, [each] * 10)
    assert not is_quick(CATALOG, [each] * (LARGE_BYTES // each.size + 1))


def test_a_vocabulary_that_is_not_loaded_yet_is_loaded_in_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.catalog.tokens._at_hand", {"o200k_base"})
    assert is_quick(CATALOG, [submission(), submission("low")])
    assert is_quick(CATALOG, [submission("nobody-knows-it")]), "it is refused before it is counted"
    assert not is_quick(CATALOG, [submission(), submission("gpt-3.5-turbo-instruct")])
