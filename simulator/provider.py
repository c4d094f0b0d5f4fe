"""The simulated provider: admit, answer, bill, misbehave as scripted."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final

import orjson

from simulator import wire
from simulator.answers import Answer, Oracle
from simulator.calls import BadCallError, Call, check_key, read_call
from simulator.faults import Fault, Script
from simulator.http import Request, Response
from simulator.ledger import Ledger, LedgerLine
from simulator.limits import SlidingWindow
from simulator.prices import ModelPrice
from simulator.stats import Counters

ABANDONED: Final = "abandoned"
HTML: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(slots=True, kw_only=True)
class Provider:
    """One account at a company that speaks OpenAI's wire."""

    prices: dict[str, ModelPrice]
    oracle: Oracle
    window: SlidingWindow
    ledger: Ledger
    script: Script
    api_key: str | None = None
    """The only key that is accepted; any, where None."""
    counters: Counters = field(default_factory=Counters)
    _run: str = field(default_factory=lambda: f"{time.time_ns() // 10**6:x}{secrets.token_hex(2)}")
    """Before each running number, so that two runs never give one request id."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def models(self, request: Request) -> Response:
        """GET /v1/models."""
        try:
            check_key(request, self.api_key)
        except BadCallError as error:
            return error.response
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "openai"}
            for name in self.prices
        ]
        return Response(body=orjson.dumps({"object": "list", "data": data}))

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        request_id = f"req_{self._run}{next(self._numbers):08d}"
        try:
            check_key(request, self.api_key)
            call = read_call(request, self.prices)
        except BadCallError as error:
            response = error.response
        else:
            response = await self._admitted(call, request.body, request_id)
            response.headers |= wire.rate_headers(self.window, time.monotonic())
        response.headers["x-request-id"] = request_id
        return response

    async def _admitted(self, call: Call, body: bytes, request_id: str) -> Response:
        """Pass the rate limit, then answer."""
        counters = self.counters
        refusal = self.window.admit(time.monotonic(), call.charge, counters.in_flight)
        if refusal is not None:
            counters.reject()
            return wire.refused(refusal, call.model)
        counters.accept()
        try:
            return await self._work(call, body, request_id)
        finally:
            counters.in_flight -= 1

    async def _work(self, call: Call, body: bytes, request_id: str) -> Response:
        fault = self.script.fault_for(
            text=call.text, model=call.model, client_request_id=call.client_request_id
        )
        answer = self._answer(call, body, fault)
        try:
            await asyncio.sleep(fault.stall + answer.latency)
        except asyncio.CancelledError:
            # The work was begun for a caller who hung up: a real provider charges for it.
            if fault.billed:
                self._bill(call, answer, request_id, ABANDONED)
            raise
        if fault.reset == "before":
            return Response(reset=True)
        if fault.status is not None:
            return _scripted_error(fault, fault.status)
        await self._bill(call, answer, request_id, fault.outcome)
        if fault.hang:
            await asyncio.Event().wait()
        if fault.reset == "after":
            return Response(reset=True)
        self.counters.answered += 1
        return self._reply(call, answer, request_id, fault)

    def _answer(self, call: Call, body: bytes, fault: Fault) -> Answer:
        answer = self.oracle.answer(body, call.max_tokens)
        return replace(
            answer,
            text=answer.text if fault.content is None else fault.content,
            finish_reason=fault.finish_reason or answer.finish_reason,
        )

    def _bill(
        self, call: Call, answer: Answer, request_id: str, outcome: str
    ) -> asyncio.Future[None]:
        """Done when the bill is on disk."""
        cost_nano = self.prices[call.model].cost_nano(call.prompt_tokens, 0, answer.tokens)
        self.counters.bill(cost_nano)
        line = LedgerLine(
            request_id=request_id,
            client_request_id=call.client_request_id,
            at=time.time(),
            model=call.model,
            prompt_tokens=call.prompt_tokens,
            cached_tokens=0,
            completion_tokens=answer.tokens,
            cost_nano=cost_nano,
            answer_sha256=hashlib.sha256(answer.text.encode()).hexdigest(),
            outcome=outcome,
            status=200,
        )
        return self.ledger.enter(line)

    def _reply(self, call: Call, answer: Answer, request_id: str, fault: Fault) -> Response:
        if fault.garbage:
            return Response(content_type="text/html", body=HTML)
        if fault.error_200:
            return _scripted_error(fault, 200)
        body = wire.completion(request_id, call.model, int(time.time()), answer)
        if not fault.no_usage:
            body["usage"] = wire.usage(call.prompt_tokens, answer.tokens)
        return _stream(call, body, fault) if call.stream else _document(body, fault)


def _document(body: dict[str, Any], fault: Fault) -> Response:
    data = orjson.dumps(body)
    if fault.truncate:
        return Response(body=data, cut_at=len(data) // 2)
    if fault.slow_bytes:
        return Response(chunks=[data[i : i + 1] for i in range(len(data))], pause=fault.slow_bytes)
    return Response(body=data)


def _stream(call: Call, body: dict[str, Any], fault: Fault) -> Response:
    parts = list(wire.chunks(body, with_usage=call.with_usage, terminal=not fault.cut))
    return Response(
        content_type="text/event-stream",
        chunks=parts,
        pause=fault.slow_bytes,
        cut_at=len(parts) // 2 if fault.truncate else None,
    )


def _scripted_error(fault: Fault, status: int) -> Response:
    kind, code = fault.type_and_code
    response = wire.error(status, fault.message, kind=kind, code=code)
    if fault.retry_after is not None:
        response.headers |= wire.retry_headers(fault.retry_after)
    return response
