"""OpenAI's embeddings and legacy completions."""

import base64
from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt

from simulator.call import Call, Reply
from simulator.counting import count_texts
from simulator.http import Request
from simulator.shelf import Shelf
from simulator.vectors import little_endian, vector
from simulator.wires.openai_chunks import DONE, FINISH, usage
from simulator.wires.openai_errors import OpenAIErrors
from simulator.wires.wire import Json, Loose, event, invalid, parsed, pieces

MOST_INPUTS: Final = 2048
DEFAULT_TOKENS: Final = 16
"""Of a completion that names no maximum."""
Texts = Annotated[list[str], Field(min_length=1, max_length=MOST_INPUTS)]
Tokens = Annotated[list[int], Field(min_length=1)]


class EmbeddingBody(Loose):
    """Texts, or texts that are cut into tokens already."""

    model: str
    input: str | Texts | Tokens | list[Tokens]
    dimensions: PositiveInt | None = None
    encoding_format: Literal["float", "base64"] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Each input; tokens as their numbers."""
        given = self.input
        if isinstance(given, str):
            return (given,)
        if given and isinstance(given[0], int):
            return (str(given),)
        return tuple(str(each) for each in given)


class OpenAIEmbeddings(OpenAIErrors):
    """POST /v1/embeddings."""

    def body(self, request: Request) -> EmbeddingBody:
        """The body, as this server takes it. Raises BadCallError."""
        return parsed(EmbeddingBody, request.body)

    def read(self, request: Request, shelf: Shelf) -> Call:
        """The call."""
        body = self.body(request)
        shelf.price(body.model)
        if not all(body.texts):
            raise invalid("Invalid 'input': input cannot be an empty string.", param="input")
        tokens = count_texts(body.texts)
        return Call(
            model=body.model,
            text="\n".join(body.texts),
            input_tokens=tokens,
            charge=tokens,
            client_request_id=request.headers.get("x-client-request-id", ""),
            inputs=body.texts,
            extras={"dimensions": body.dimensions, "packed": body.encoding_format == "base64"},
        )

    def document(self, reply: Reply) -> Json:
        """A vector for each text."""
        call = reply.call
        found = (vector(call.model, text, call.extras["dimensions"]) for text in call.inputs)
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(little_endian(values)).decode()
                if call.extras["packed"]
                else values,
            }
            for index, values in enumerate(found)
        ]
        body: Json = {"object": "list", "model": call.model, "data": data}
        if reply.with_usage:
            tokens = call.input_tokens
            body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return body

    def stream(self, reply: Reply) -> tuple[list[bytes], list[bytes]]:
        """Never asked for: a call without text has no stream."""
        raise NotImplementedError


class StreamOptions(Loose):
    """What a stream carries beside the answer."""

    include_usage: bool = False


class CompletionBody(Loose):
    """A prompt that is continued."""

    model: str
    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    max_tokens: PositiveInt | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None


class OpenAICompletions(OpenAIErrors):
    """POST /v1/completions."""

    def read(self, request: Request, shelf: Shelf) -> Call:
        """The call."""
        body = parsed(CompletionBody, request.body)
        shelf.price(body.model)
        prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
        tokens, most = count_texts([prompt]), body.max_tokens or DEFAULT_TOKENS
        wanted = body.stream_options is not None and body.stream_options.include_usage
        return Call(
            model=body.model,
            text=prompt,
            input_tokens=tokens,
            max_tokens=most,
            charge=tokens + most,
            stream=bool(body.stream),
            client_request_id=request.headers.get("x-client-request-id", ""),
            stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
            extras={"include_usage": wanted},
        )

    def document(self, reply: Reply) -> Json:
        """A text_completion."""
        body = _completion(reply, reply.answer.text, _finish(reply))
        if reply.with_usage:
            body["usage"] = usage(reply)
        return body

    def stream(self, reply: Reply) -> tuple[list[bytes], list[bytes]]:
        """Chunks of the same form."""
        ending = [event(_completion(reply, "", _finish(reply)))]
        if reply.call.extras["include_usage"]:
            told = usage(reply) if reply.with_usage else None
            last = {**_completion(reply, "", None), "choices": [], "usage": told}
            ending.append(event(last))
        texts = pieces(reply.answer.text)
        return [event(_completion(reply, text, None)) for text in texts], [*ending, DONE]


def _finish(reply: Reply) -> str:
    return FINISH.get(reply.answer.finish_reason, reply.answer.finish_reason)


def _completion(reply: Reply, text: str, finish_reason: str | None) -> Json:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": f"cmpl-{reply.request_id}",
        "object": "text_completion",
        "created": reply.created,
        "model": reply.call.model,
        "choices": [choice],
    }
