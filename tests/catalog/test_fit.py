"""Tokens are counted as the provider counts them, and what does not fit is told by field."""

from dataclasses import replace
from typing import Any

import pytest

from shared.catalog.fit import fit, require_fit
from shared.catalog.load import load_catalog
from shared.catalog.wires import SAMPLING
from shared.domain.conversation import Message, Role
from shared.domain.errors import InvalidRequestError, UnknownModelError
from shared.domain.generation import GenerationRequest

CATALOG = load_catalog()
MINI = CATALOG.models["gpt-4.1-mini"]
FRAME = 3 + 1
"""A message's frame and its role."""
PRIMING = 3


def messages(*texts: str) -> tuple[Message, ...]:
    return tuple(Message(role=Role.USER, content=text) for text in texts)


def request(*texts: str, model: str = MINI.id, **options: Any) -> GenerationRequest:
    return GenerationRequest(model=model, messages=messages(*texts), **options)


def test_a_request_without_a_maximum_gets_the_models_default() -> None:
    fitted = fit(CATALOG, request("hello world"))
    assert fitted.request.max_tokens == fitted.max_tokens == MINI.default_output
    assert (fitted.model, fitted.input_tokens) == (MINI, 2 + FRAME + PRIMING)


def test_the_window_holds_input_and_output_to_the_last_token() -> None:
    model = CATALOG.models["gpt-4o"]
    room = model.context_window - model.max_output - FRAME - PRIMING
    full = " a" * room
    fitted = fit(CATALOG, request(full, model="gpt-4o", max_tokens=model.max_output))
    assert fitted.input_tokens + fitted.max_tokens == model.context_window
    with pytest.raises(InvalidRequestError, match="context window of gpt-4o") as caught:
        fit(CATALOG, request(full + " a", model="gpt-4o", max_tokens=model.max_output))
    assert caught.value.field == "messages"


def test_what_surely_fits_is_not_counted_and_what_may_not_is() -> None:
    model = CATALOG.models["gpt-4o"]
    room = model.context_window - model.max_output - FRAME - PRIMING
    for text in ("hello", " a" * room):
        require_fit(CATALOG, request(text, model="gpt-4o", max_tokens=model.max_output))
    with pytest.raises(InvalidRequestError, match="context window of gpt-4o"):
        require_fit(
            CATALOG, request(" a" * (room + 1), model="gpt-4o", max_tokens=model.max_output)
        )


@pytest.mark.parametrize("max_tokens", [-1, 0, MINI.max_output + 1])
def test_a_maximum_that_the_model_cannot_give_is_refused(max_tokens: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"1 to {MINI.max_output}") as caught:
        fit(CATALOG, request("hi", max_tokens=max_tokens))
    assert caught.value.field == "max_tokens"


@pytest.mark.parametrize("name", SAMPLING)
def test_a_reasoning_model_takes_no_sampling_not_even_zero(name: str) -> None:
    reasoning = next(model for model in CATALOG.models.values() if not model.sampling)
    asked = replace(request("hi"), **{name: 0.0})  # type: ignore[arg-type]
    assert fit(CATALOG, asked).model is MINI
    with pytest.raises(InvalidRequestError, match=f"^{name}: ") as caught:
        fit(CATALOG, replace(asked, model=reasoning.id))
    assert caught.value.field == name


def test_no_message_and_no_such_model_are_refused_by_field() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        fit(CATALOG, request())
    assert caught.value.field == "messages"
    with pytest.raises(UnknownModelError):
        fit(CATALOG, request("hi", model="gpt-imaginary"))
