"""An account at a provider: admit, answer, bill, misbehave as scripted."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import orjson

from simulator.answers import Oracle, written
from simulator.call import Answer, BadCallError, Call, Reply
from simulator.faults import Fault, Script
from simulator.gate import Gate
from simulator.http import Request, Response
from simulator.ledger import Ledger, LedgerLine
from simulator.shelf import Shelf
from simulator.stats import Counters
from simulator.wires.wire import Json, Wire

ABANDONED: Final = "abandoned"
HTML: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(slots=True)
class RequestIds:
    """Ids that no other run and no other account gives."""

    _run: str = field(default_factory=lambda: f"{time.time_ns() // 10**6:x}{secrets.token_hex(2)}")
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def next(self) -> str:
        """The next one."""
        return f"req_{self._run}{next(self._numbers):08d}"


@dataclass(slots=True, kw_only=True)
class Account:
    """One account; the oracle, the ledger, the script and the ids are shared by all accounts."""

    provider: str
    shelf: Shelf
    oracle: Oracle
    gate: Gate
    ledger: Ledger
    script: Script
    ids: RequestIds
    api_key: str | None = None
    """The only key that is accepted; any, where None."""
    counters: Counters = field(default_factory=Counters)

    def tell(
        self, wire: Wire, request: Request, told: Callable[[Request, Shelf], Json]
    ) -> Response:
        """Answer what costs nothing and counts against no limit."""
        request_id = self.ids.next()
        try:
            wire.check_key(request, self.api_key)
            response = Response(body=orjson.dumps(told(request, self.shelf)))
        except BadCallError as error:
            response = wire.error(error.problem, request_id)
        response.headers[wire.request_id_header] = request_id
        return response

    async def serve(self, wire: Wire, request: Request) -> Response:
        """Answer one call."""
        request_id = self.ids.next()
        try:
            wire.check_key(request, self.api_key)
        except BadCallError as error:
            response = wire.error(error.problem, request_id)
        else:
            response = await self._known(wire, request, request_id)
        response.headers[wire.request_id_header] = request_id
        return response

    async def _known(self, wire: Wire, request: Request, request_id: str) -> Response:
        """Answer one call of whose account is known: what it gets wrong may count."""
        try:
            call = wire.read(request, self.shelf)
        except BadCallError as error:
            self.gate.fail(time.monotonic())
            return wire.error(error.problem, request_id)
        response = await self._admitted(wire, call, request.body, request_id)
        response.headers |= wire.rate_headers(self.gate, time.monotonic())
        return response

    async def _admitted(self, wire: Wire, call: Call, body: bytes, request_id: str) -> Response:
        """Pass the rate limit, then answer."""
        counters = self.counters
        refusal = self.gate.admit(time.monotonic(), call.charge, counters.in_flight)
        if refusal is not None:
            counters.reject()
            return wire.refused(refusal, call.model, request_id)
        counters.accept()
        try:
            response = await self._work(wire, call, body, request_id)
        except BaseException:
            counters.leave()
            raise
        response.over = counters.leave  # a stream holds its place until its end
        return response

    async def _work(self, wire: Wire, call: Call, body: bytes, request_id: str) -> Response:
        fault = self.script.fault_for(self.provider, call)
        answer = _scripted(self.oracle.answer(call, body), fault)
        reply = self._reply(call, answer, request_id)
        reply.with_usage = not fault.no_usage
        try:
            await asyncio.sleep(fault.stall + answer.latency)
        except asyncio.CancelledError:
            # The work was begun for a caller who hung up: a real provider charges for it.
            if fault.billed:
                self._bill(reply, ABANDONED)
            raise
        if fault.reset == "before":
            return Response(reset=True)
        if fault.status is not None:
            return wire.error(fault.problem(fault.status), request_id)
        await self._bill(reply, fault.outcome)
        if fault.hang:
            await asyncio.Event().wait()
        if fault.reset == "after":
            return Response(reset=True)
        self.counters.answered += 1
        return _response(wire, reply, fault)

    def _reply(self, call: Call, answer: Answer, request_id: str) -> Reply:
        cost_nano = self.shelf.price(call.model).cost_nano(
            call.input_tokens,
            call.cached_tokens,
            answer.tokens,
            cache_write=call.cache_write_tokens,
            cache_write_1h=call.cache_write_1h_tokens,
            searches=call.searches,
        )
        return Reply(
            request_id=request_id,
            arrived=time.time(),
            call=call,
            answer=answer,
            cost_nano=cost_nano,
        )

    def _bill(self, reply: Reply, outcome: str) -> asyncio.Future[None]:
        """Done when the bill is on disk."""
        call, answer = reply.call, reply.answer
        self.counters.bill(reply.cost_nano)
        self.gate.wrote(time.monotonic(), answer.tokens)
        if call.prefix:
            self.shelf.prefixes.keep(call.prefix)
        line = LedgerLine(
            request_id=reply.request_id,
            client_request_id=call.client_request_id,
            at=time.time(),
            arrived=reply.arrived,
            charge=call.charge,
            model=call.model,
            prompt_tokens=call.input_tokens,
            cached_tokens=call.cached_tokens,
            completion_tokens=answer.tokens,
            cost_nano=reply.cost_nano,
            answer_sha256=hashlib.sha256(_whole(answer).encode()).hexdigest(),
            outcome=outcome,
            status=200,
            provider=self.provider,
            cache_write_tokens=call.cache_write_tokens,
            cache_write_1h_tokens=call.cache_write_1h_tokens,
            reasoning_tokens=answer.thought_tokens,
            searches=call.searches,
        )
        return self.ledger.enter(line)


def _scripted(answer: Answer, fault: Fault) -> Answer:
    """The answer with what the script puts into its mouth."""
    if fault.content is not None:
        answer.text, answer.tool_calls = fault.content, ()
        if answer.finish_reason == "tool_calls":
            answer.finish_reason = "stop"
    if fault.refusal is not None:
        answer.text, answer.tool_calls = "", ()
        answer.refusal, answer.finish_reason = fault.refusal, "refusal"
    if fault.block_reason is not None:
        answer.text, answer.tool_calls = "", ()
        answer.block_reason, answer.tokens, answer.thought_tokens = fault.block_reason, 0, 0
    answer.finish_reason = fault.finish_reason or answer.finish_reason
    return answer


def _whole(answer: Answer) -> str:
    """The text of the answer, or the arguments of its calls in a row."""
    if not answer.tool_calls:
        return answer.text
    return answer.text + "".join(written(call) for call in answer.tool_calls)


def _response(wire: Wire, reply: Reply, fault: Fault) -> Response:
    if fault.garbage:
        return Response(content_type="text/html", body=HTML)
    if fault.error_200:
        response = wire.error(fault.problem(500), reply.request_id)
        response.status = 200
        return response
    if reply.call.stream:
        return _stream(wire, reply, fault)
    if fault.stream_error:
        return wire.error(fault.problem(500), reply.request_id)
    return _document(wire.document(reply), fault)


def _document(body: Json, fault: Fault) -> Response:
    data = orjson.dumps(body)
    if fault.truncate:
        return Response(body=data, cut_at=len(data) // 2)
    if fault.slow_bytes:
        return Response(chunks=[data[i : i + 1] for i in range(len(data))], pause=fault.slow_bytes)
    return Response(body=data)


def _stream(wire: Wire, reply: Reply, fault: Fault) -> Response:
    parts, ending = wire.stream(reply)
    if fault.stream_error:
        parts = parts[: -(-len(parts) // 2)]
        ending = [wire.stream_error(fault.problem(500), reply.request_id)]
    whole = parts if fault.cut else parts + ending
    return Response(
        content_type="text/event-stream",
        chunks=whole,
        pause=fault.slow_bytes,
        cut_at=len(whole) // 2 if fault.truncate else None,
    )
