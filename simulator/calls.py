"""Reading a chat request as strictly as OpenAI reads it."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from simulator import wire
from simulator.answers import count_prompt
from simulator.http import Request, Response
from simulator.strict import sentence

MODEL_MAXIMUM: Final = 16_384
"""Output tokens that a request without a maximum reserves."""


class Loose(BaseModel):
    """Parameters that the simulator does not know change nothing here."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Message(Loose):
    """One message of a chat."""

    role: str
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """Its text, also where it comes in parts."""
        if isinstance(self.content, str):
            return self.content
        texts = (part.get("text") for part in self.content or ())
        return "".join(text for text in texts if isinstance(text, str))


class StreamOptions(Loose):
    """What a stream carries beside the answer."""

    include_usage: bool = False


class ChatBody(Loose):
    """The parameters that change what the simulator does."""

    model: str
    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: PositiveInt | None = None
    max_tokens: PositiveInt | None = None
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A well-formed chat request."""

    model: str
    text: str
    """Of all messages, a line each."""
    prompt_tokens: int
    max_tokens: int | None
    stream: bool
    with_usage: bool
    client_request_id: str

    @property
    def charge(self) -> int:
        """The tokens that the rate limit counts on arrival: a reservation of the most."""
        return self.prompt_tokens + (self.max_tokens or MODEL_MAXIMUM)


class BadCallError(Exception):
    """A request that is refused before it counts."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def read_call(request: Request, models: Container[str]) -> Call:
    """The call. Raises BadCallError with the refusal that OpenAI would give."""
    try:
        body = ChatBody.model_validate_json(request.body)
    except ValidationError as error:
        raise BadCallError(_malformed(error)) from None
    if body.model not in models:
        message = f"The model `{body.model}` does not exist or you do not have access to it."
        raise BadCallError(wire.invalid(404, message, code="model_not_found"))
    texts = [message.text for message in body.messages]
    return Call(
        model=body.model,
        text="\n".join(texts),
        prompt_tokens=count_prompt(texts),
        max_tokens=body.max_completion_tokens or body.max_tokens,
        stream=bool(body.stream),
        with_usage=body.stream_options is not None and body.stream_options.include_usage,
        client_request_id=request.headers.get("x-client-request-id", ""),
    )


def check_key(request: Request, api_key: str | None) -> None:
    """Any bearer key will do, unless one is set. Raises BadCallError."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        message = "You didn't provide an API key. Send it as `Authorization: Bearer KEY`."
        raise BadCallError(wire.invalid(401, message))
    if api_key not in {None, key}:
        message = "Incorrect API key provided."
        raise BadCallError(wire.invalid(401, message, code="invalid_api_key"))


def _malformed(error: ValidationError) -> Response:
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return wire.invalid(
            400, f"We could not parse the JSON body of your request: {first['msg']}"
        )
    param = ".".join(str(part) for part in first["loc"])
    code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
    return wire.invalid(400, f"Invalid request: {sentence(error)}", code=code, param=param or None)
