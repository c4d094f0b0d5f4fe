"""A line of the file to a request in the normal form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from cli.errors import InputError
from cli.run.template import fill, is_encodable
from shared.catalog.deployments import Catalog
from shared.catalog.fit import require_fit
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest
from shared.domain.places import first_mistake
from shared.faces.openai_request import read_body
from shared.routing.routes import RouteBook, require_takers

OURS: Final = "promptmill"
"""The one key that answers add to a line of columns."""
BATCH_KEYS: Final = frozenset({"custom_id", "method", "url", "body"})
REQUEST: Final = TypeAdapter(GenerationRequest)
ROUTES: Final = RouteBook()

Row = Mapping[str, Any]
MakeRequest = Callable[[Row], dict[str, Any]]
"""From a line to the JSON of a GenerationRequest. Raises InputError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line says about every prompt."""

    prompt: str | None
    system: str | None
    model: str
    max_tokens: int | None
    temperature: float | None

    def __post_init__(self) -> None:
        """Raises InputError for text that no request can carry."""
        if self.prompt is not None and not self.prompt.strip():
            raise InputError("--prompt: it is empty")
        for option in ("prompt", "system", "model"):
            if not is_encodable(getattr(self, option) or ""):
                message = f"--{option}: not UTF-8"
                raise InputError(message)

    @property
    def for_columns(self) -> list[str]:
        """The given options that mean nothing to a batch file, whose lines say it all."""
        names = ("prompt", "system", "max_tokens", "temperature")
        return [name for name in names if getattr(self, name) is not None]


def from_columns(row: Row, wish: Wish) -> dict[str, Any]:
    """The request of a line of columns."""
    if OURS in row:
        message = f"the column {OURS!r} is where the answer goes; rename it"
        raise InputError(message)
    if wish.prompt is None and "prompt" not in row:
        there = ", ".join(sorted(row)) or "none"
        message = f'say --prompt "… {{{{column}}}} …"; the columns are: {there}'
        raise InputError(message)
    turns = [{"role": "system", "content": fill(wish.system, row)}] if wish.system else []
    turns.append({"role": "user", "content": fill(wish.prompt or "{{prompt}}", row)})
    request: dict[str, Any] = {"model": wish.model, "messages": turns}
    if wish.max_tokens is not None:
        request["max_tokens"] = wish.max_tokens
    if wish.temperature is not None:
        request["temperature"] = wish.temperature
    return request


def from_batch_line(row: Row) -> dict[str, Any]:
    """The request of a line in OpenAI's batch format."""
    if row.get("method") != "POST":
        message = f"method: only POST is supported here, not {row.get('method')!r}"
        raise InputError(message)
    if not isinstance(row.get("custom_id"), str) or not isinstance(row.get("body"), dict):
        raise InputError("custom_id must be a string and body an object")
    try:
        return read_body(row.get("url"), row["body"]).request
    except InvalidRequestError as error:
        raise InputError(error.message) from None


def _require_taken(catalog: Catalog, request: GenerationRequest) -> None:
    """Raises InvalidRequestError for what the API would refuse."""
    routes = ROUTES.of(catalog)
    if request.model in routes:
        require_takers(catalog, routes[request.model], request)
    else:
        require_fit(catalog, request)


def checked(request: dict[str, Any], catalog: Catalog | None) -> dict[str, Any]:
    """The same request, if the mill will take it. Raises InputError that names the field.

    Without a catalog only its shape is checked: another server has a catalog of its own.
    """
    try:
        shape = REQUEST.validate_python(request)
        if catalog is not None:
            _require_taken(catalog, shape)
    except ValidationError as error:
        where, said, _ = first_mistake(request, error.errors())
        message = f"{where}: {said.lower()}"
        raise InputError(message) from None
    except InvalidRequestError as error:
        raise InputError(error.message) from None
    return request
