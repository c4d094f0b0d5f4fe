"""Does a request fit its model? Asked by every door before a job is made."""

from dataclasses import dataclass, replace
from typing import Final

from shared.catalog.deployments import Catalog, Model
from shared.catalog.tokens import count_input, most_input
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest

SAMPLING: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A request that its model takes, with `max_tokens` set and its tokens counted."""

    request: GenerationRequest
    model: Model
    input_tokens: int
    max_tokens: int


def fit(catalog: Catalog, request: GenerationRequest, input_tokens: int | None = None) -> Fitted:
    """The request as it will be stored. Raises InvalidRequestError that names the field.

    `input_tokens`: where they are counted already.
    """
    model, max_tokens = _taken(catalog, request)
    if input_tokens is None:
        input_tokens = count_input(request.messages)
    if input_tokens + max_tokens > model.context_window:
        message = (
            f"messages: {input_tokens} input and {max_tokens} output tokens do not fit the "
            f"context window of {model.id}, {model.context_window}"
        )
        raise InvalidRequestError(message, field="messages")
    return Fitted(replace(request, max_tokens=max_tokens), model, input_tokens, max_tokens)


def require_fit(catalog: Catalog, request: GenerationRequest) -> None:
    """Raise what `fit` would; counts tokens only where they may be too many."""
    model, max_tokens = _taken(catalog, request)
    if most_input(request.messages) + max_tokens > model.context_window:
        fit(catalog, request)


def _taken(catalog: Catalog, request: GenerationRequest) -> tuple[Model, int]:
    """The model, and the output tokens to reserve; everything but the length is checked."""
    model = catalog.model(request.model)
    if not request.messages:
        raise InvalidRequestError("messages: at least one message is needed", field="messages")
    for name in SAMPLING:
        if not model.sampling and getattr(request, name) is not None:
            message = f"{name}: {model.id} takes no sampling parameters; leave it out"
            raise InvalidRequestError(message, field=name)
    return model, _max_tokens(request, model)


def _max_tokens(request: GenerationRequest, model: Model) -> int:
    if request.max_tokens is None:
        return model.default_output
    if not 1 <= request.max_tokens <= model.max_output:
        message = f"max_tokens: {model.id} gives 1 to {model.max_output} output tokens"
        raise InvalidRequestError(message, field="max_tokens")
    return request.max_tokens
