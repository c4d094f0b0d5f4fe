"""What chats, completions and embeddings of OpenAI's API have in common: body in, answer out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from fastapi.responses import ORJSONResponse, Response

from api.deps import Parts
from api.error_shapes import in_openai
from api.errors import told_of
from api.faces.ask import EXTENSION, Ask, answer, ask, extension_of
from api.faces.heads import dropped, head_of
from api.faces.teller import AnswerTeller
from api.jobs.parse import parse_json
from api.jobs.telling import stream_of
from shared.db.accept import Accepted
from shared.db.tenants import Caller
from shared.domain.clock import SystemClock
from shared.domain.errors import InvalidRequestError, PromptmillError
from shared.domain.face import Face
from shared.faces.openai_messages import wanted
from shared.faces.openai_reply import reply_of
from shared.faces.openai_request import CHATS, COMPLETIONS, EMBEDDINGS, parameter_of, read_body
from shared.faces.openai_stream import Chunks, TextChunks, event

FACES: Final[Mapping[str, Face]] = {
    CHATS: Face.CHAT,
    COMPLETIONS: Face.COMPLETION,
    EMBEDDINGS: Face.EMBEDDING,
}
CHUNKS: Final[Mapping[str, tuple[type[Chunks], str]]] = {
    CHATS: (Chunks, "chatcmpl-"),
    COMPLETIONS: (TextChunks, "cmpl-"),
}
"""What a stream of each is made of, and how its answer's id begins."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One POST to one of these URLs, on its way."""

    url: str
    http: Request
    parts: Parts
    caller: Caller

    async def reply(self) -> Response:
        """The answer, when it is there; or a stream, where one is asked for."""
        raw = await self.http.body()
        body = wanted(parse_json(raw), dict, "body", "an object")
        with_usage = _wants_usage(body)
        own = extension_of(body)
        asked = read_body(self.url, without_extension(body), lenient=True)
        wish = Ask(
            face=FACES[self.url],
            request={**asked.request, "drop_unsupported": True},
            raw=raw,
            body=body,
            more={**labels_of(body), **own},
        )
        try:
            accepted = await ask(self.parts, self.caller, self.http, wish)
        except InvalidRequestError as error:
            raise in_own_words(error, self.url, body) from None
        aside = await dropped(
            self.parts,
            accepted,
            asked.request,
            asked.set_aside,
            lambda name: parameter_of(self.url, name, body),
        )
        if asked.request.get("stream") and self.url in CHUNKS:
            return await self._stream(accepted, aside, body["model"], with_usage=with_usage)
        job = await answer(self.parts, self.caller, accepted)
        told = reply_of(
            self.url,
            job.id,
            int(job.created_at.timestamp()),
            job.result or {},
            encoding_format=body.get("encoding_format"),
        )
        return ORJSONResponse(told, headers=head_of(accepted, aside, job))

    async def _stream(
        self, accepted: Accepted, aside: tuple[str, ...], model: str, *, with_usage: bool
    ) -> Response:
        kind, prefix = CHUNKS[self.url]
        chunks = kind(
            id=prefix + accepted.job_id,
            created=int(SystemClock().now().timestamp()),
            model=model,
            with_usage=with_usage,
        )
        teller = AnswerTeller(accepted.job_id, chunks, failed)
        stream = await stream_of(self.parts, self.caller, accepted.job_id, teller)
        stream.headers.update(head_of(accepted, aside))
        return stream


def failed(error: PromptmillError) -> bytes:
    """What a stream ends with where no answer comes: SDKs raise it."""
    return event(in_openai(told_of(error)))


def without_extension(body: Mapping[str, Any]) -> dict[str, Any]:
    """What of a body is OpenAI's own."""
    return {name: value for name, value in body.items() if name != EXTENSION}


def labels_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a job that OpenAI's own parameters say: whom it is for, and what it is called."""
    names = {"user": "end_user", "metadata": "metadata"}
    return {ours: body[theirs] for theirs, ours in names.items() if body.get(theirs)}


def _wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether a stream ends with what it used. Raises InvalidRequestError."""
    options = wanted(body.get("stream_options") or {}, dict, "stream_options", "an object")
    return bool(options.get("include_usage"))


def in_own_words(
    error: InvalidRequestError, url: str, body: Mapping[str, Any]
) -> InvalidRequestError:
    """The same error by the caller's own parameter, where the field has another name there."""
    field = error.field or ""
    first = field.partition(".")[0].partition("[")[0]
    own = {"end_user": "user"}.get(first) or parameter_of(url, first, body)
    if own != first and own in body:
        error.field = own + field.removeprefix(first)
        error.message = error.message.replace(first, own, 1)
    return error
