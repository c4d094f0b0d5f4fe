"""The simulated provider: admit, answer, bill, misbehave as scripted."""

import asyncio
import hashlib
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import orjson

from simulator import wire
from simulator.answers import Answer, Oracle, count_prompt, text_of
from simulator.faults import Fault, Script
from simulator.http import Request, Response
from simulator.ledger import Ledger, LedgerLine
from simulator.limits import SlidingWindow
from simulator.prices import ModelPrice

MODEL_MAXIMUM: Final = 16_384
SECONDS_KEPT: Final = 1000
HTML: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Call:
    """A well-formed chat request."""

    model: str
    messages: list[dict[str, Any]]
    max_tokens: int | None
    stream: bool
    with_usage: bool
    prompt_tokens: int
    client_request_id: str

    @property
    def charge(self) -> int:
        """The tokens that the rate limit counts on arrival: a reservation of the most."""
        return self.prompt_tokens + (self.max_tokens or MODEL_MAXIMUM)


@dataclass(slots=True)
class Counters:
    """What came and what became of it."""

    accepted: int = 0
    rejected: int = 0
    answered: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    first_at: float | None = None
    last_at: float | None = None
    per_second: deque[tuple[int, Counter[str]]] = field(
        default_factory=lambda: deque(maxlen=SECONDS_KEPT)
    )

    def note(self, what: str) -> None:
        """Count an arrival in its second."""
        now = time.time()
        self.first_at = self.first_at or now
        self.last_at = now
        second = int(now)
        if not self.per_second or self.per_second[-1][0] != second:
            self.per_second.append((second, Counter()))
        self.per_second[-1][1][what] += 1


class BadCallError(Exception):
    """A request that is refused before it counts."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Provider:
    """One account at a company that speaks OpenAI's wire."""

    def __init__(
        self,
        prices: dict[str, ModelPrice],
        oracle: Oracle,
        window: SlidingWindow,
        ledger: Ledger,
        script: Script,
        api_key: str | None,
    ) -> None:
        self.prices = prices
        self.window = window
        self.ledger = ledger
        self.script = script
        self.counters = Counters()
        self._oracle = oracle
        self._api_key = api_key
        self._numbers = count(1)

    async def models(self, request: Request) -> Response:
        """GET /v1/models."""
        if refusal := self._refuse_key(request):
            return refusal
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "simulator"}
            for name in self.prices
        ]
        return Response(body=orjson.dumps({"object": "list", "data": data}))

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        request_id = f"req_{next(self._numbers):09d}"
        try:
            call = self._read(request)
        except BadCallError as error:
            error.response.headers["x-request-id"] = request_id
            return error.response
        response = await self._admitted(call, request, request_id)
        response.headers |= {"x-request-id": request_id, **wire.rate_headers(self.window)}
        return response

    async def _admitted(self, call: Call, request: Request, request_id: str) -> Response:
        """Pass the rate limit, then answer."""
        counters = self.counters
        refusal = self.window.admit(time.monotonic(), call.charge, counters.in_flight)
        if refusal is not None:
            counters.rejected += 1
            counters.note("rejected")
            return wire.refused(refusal, call.model)
        counters.accepted += 1
        counters.note("accepted")
        counters.in_flight += 1
        counters.max_in_flight = max(counters.max_in_flight, counters.in_flight)
        try:
            return await self._work(call, request, request_id)
        finally:
            counters.in_flight -= 1

    async def _work(self, call: Call, request: Request, request_id: str) -> Response:
        text = "\n".join(text_of(message) for message in call.messages)
        fault = self.script.fault_for(
            text=text, model=call.model, client_request_id=call.client_request_id
        )
        answer = self._answer(call, request, fault)
        await asyncio.sleep(fault.stall + answer.latency)
        if fault.reset == "before":
            return Response(reset=True)
        if fault.status is not None:
            return _scripted_error(fault)
        await self._bill(call, answer, request_id, fault)
        if fault.hang:
            await asyncio.Event().wait()
        if fault.reset == "after":
            return Response(reset=True)
        self.counters.answered += 1
        return self._reply(call, answer, request_id, fault)

    def _answer(self, call: Call, request: Request, fault: Fault) -> Answer:
        answer = self._oracle.answer(request.body, call.max_tokens)
        content = answer.text if fault.content is None else fault.content
        reason = fault.finish_reason or answer.finish_reason
        return Answer(content, answer.tokens, reason, answer.latency)

    async def _bill(self, call: Call, answer: Answer, request_id: str, fault: Fault) -> None:
        price = self.prices[call.model]
        await self.ledger.append(
            LedgerLine(
                request_id=request_id,
                client_request_id=call.client_request_id,
                at=time.time(),
                model=call.model,
                prompt_tokens=call.prompt_tokens,
                cached_tokens=0,
                completion_tokens=answer.tokens,
                cost_nano=price.cost_nano(call.prompt_tokens, 0, answer.tokens),
                answer_sha256=hashlib.sha256(answer.text.encode("utf-8", "replace")).hexdigest(),
                outcome=fault.name,
                status=200,
            )
        )

    def _reply(self, call: Call, answer: Answer, request_id: str, fault: Fault) -> Response:
        if fault.garbage:
            return Response(content_type="text/html", body=HTML)
        if fault.error_200:
            response = wire.error(500, fault.message, kind=fault.type, code=fault.code)
            response.status = 200
            return response
        body = wire.completion(request_id, call.model, int(time.time()), answer)
        if not fault.no_usage:
            body["usage"] = wire.usage(call.prompt_tokens, answer.tokens)
        if call.stream:
            parts = wire.chunks(body, with_usage=call.with_usage, terminal=not fault.cut)
            return Response(
                content_type="text/event-stream", chunks=list(parts), pause=fault.slow_bytes
            )
        data = orjson.dumps(body)
        if fault.slow_bytes:
            return Response(
                chunks=[data[i : i + 1] for i in range(len(data))], pause=fault.slow_bytes
            )
        return Response(body=data, cut_at=len(data) // 2 if fault.truncate else None)

    def _read(self, request: Request) -> Call:
        """The call, or BadCallError with the refusal that OpenAI would give."""
        if refusal := self._refuse_key(request):
            raise BadCallError(refusal)
        try:
            body = orjson.loads(request.body)
            model, messages = body["model"], body["messages"]
            prompt_tokens = count_prompt(messages)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            message = f"We could not parse the body of your request: {error}"
            raise BadCallError(wire.error(400, message, kind="invalid_request_error")) from None
        if model not in self.prices:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise BadCallError(
                wire.error(404, message, kind="invalid_request_error", code="model_not_found")
            )
        return Call(
            model=model,
            messages=messages,
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            stream=bool(body.get("stream")),
            with_usage=bool((body.get("stream_options") or {}).get("include_usage")),
            prompt_tokens=prompt_tokens,
            client_request_id=request.headers.get("x-client-request-id", ""),
        )

    def _refuse_key(self, request: Request) -> Response | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and key and self._api_key in {None, key}:
            return None
        message = "Incorrect API key provided."
        return wire.error(401, message, kind="invalid_request_error", code="invalid_api_key")


def _scripted_error(fault: Fault) -> Response:
    response = wire.error(fault.status or 500, fault.message, kind=fault.type, code=fault.code)
    if fault.retry_after is not None:
        response.headers["retry-after"] = f"{fault.retry_after:g}"
    return response
