"""Events of a streamed response: whoever hears them again hears the same, with the same numbers.

What is told depends on the answer alone, not on the pieces in which it came: so the events after
any number can be told again from the log, and from the stored result when the log is gone.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.faces.openai_messages import Json
from shared.faces.responses_items import call_item
from shared.faces.responses_reply import Snapshot, call_id, message_id, output_of

PIECE: Final = re.compile(r"\s{64}|\s{0,63}(?:\S{12}|\S{1,11}(?=\s))")
"""One delta: a word with the space before it. Where it ends, what comes later cannot change."""
STRIDE: Final = 1_000_000
"""Each attempt's answer is numbered from its own multiple of this: a number tells whose it is."""


@dataclass(slots=True)
class Channel:
    """A text that grows: one part of the message, or the arguments of a call."""

    kind: str
    place: Json
    """Where its events say that it is."""
    heard: int = 0
    """Characters."""
    rest: str = ""
    """What is no whole piece yet."""

    def pieces(self, text: str) -> Iterator[str]:
        """The pieces that are whole with this text."""
        self.heard += len(text)
        text, at = self.rest + text, 0
        while found := PIECE.match(text, at):
            yield found[0]
            at = found.end()
        self.rest = text[at:]


class Composer:
    """The events of one attempt's answer, from its first item on."""

    def __init__(self, job_id: str, epoch: int, first: int) -> None:
        """`first`: how many events every stream of the response begins with."""
        self.epoch = epoch
        self.told = False
        """Whether anything of the answer was told."""
        self.number = (epoch - 1) * STRIDE + first
        """Of the event that comes next."""
        self._job_id = job_id
        self._channels: dict[str | int, Channel] = {}
        self._items: dict[str, int] = {}
        """The ids of the items that were begun, and their places."""
        self._open: Channel | None = None

    def hear(self, delta: Mapping[str, Any]) -> Iterator[Json]:
        """What follows from a piece of the answer, the JSON of a Delta."""
        for kind in ("text", "refusal"):
            if said := delta.get(kind):
                yield from self._said(kind, said)
        if (number := delta.get("tool_call")) is not None:
            call = {"id": delta.get("tool_call_id"), "name": delta.get("tool_name")}
            yield from self._called(number, call, delta.get("arguments", ""))

    def finish(self, job: Snapshot) -> Iterator[Json]:
        """All that is left to tell of the answer that was recorded, and the ends of its items."""
        result = job.result or {}
        for kind, name in (("text", "content"), ("refusal", "refusal")):
            if rest := (result.get(name) or "")[self._heard(kind) :]:
                yield from self._said(kind, rest)
        for number, call in enumerate(result.get("tool_calls") or ()):
            rest = call["arguments"][self._heard(number) :]
            if rest or number not in self._channels:
                yield from self._called(number, call, rest)
        yield from self._flush(None)
        for item in output_of(job):
            if (index := self._items.get(item["id"])) is not None:
                yield from self._ends(item, index)

    def _heard(self, key: str | int) -> int:
        channel = self._channels.get(key)
        return channel.heard if channel else 0

    def _said(self, kind: str, text: str) -> Iterator[Json]:
        channel = self._channels.get(kind)
        yield from self._flush(channel)
        if channel is None:
            item = {"id": message_id(self._job_id), "type": "message", "role": "assistant"}
            yield from self._begin(item | {"content": []})
            parts = sum(isinstance(key, str) for key in self._channels)
            place = {**self._place(item["id"]), "content_index": parts}
            channel = self._channels[kind] = Channel(kind, place)
            yield self._event("response.content_part.added", {**place, "part": EMPTY[kind]})
        yield from self._tell(channel, text)

    def _called(self, number: int, call: Mapping[str, Any], arguments: str) -> Iterator[Json]:
        channel = self._channels.get(number)
        if channel is None and not (call["id"] and call["name"]):
            return  # it is told when all of it is known
        yield from self._flush(channel)
        if channel is None:
            item_id = call_id(self._job_id, number)
            yield from self._begin({"id": item_id, **call_item({**call, "arguments": ""})})
            channel = self._channels[number] = Channel("arguments", self._place(item_id))
        yield from self._tell(channel, arguments)

    def _begin(self, item: Json) -> Iterator[Json]:
        """An item, if it was not begun before."""
        if item["id"] not in self._items:
            self._items[item["id"]] = index = len(self._items)
            shown = {**item, "status": "in_progress"}
            yield self._event("response.output_item.added", {"output_index": index, "item": shown})

    def _place(self, item_id: str) -> Json:
        return {"item_id": item_id, "output_index": self._items[item_id]}

    def _tell(self, channel: Channel, text: str) -> Iterator[Json]:
        self._open = channel
        for piece in channel.pieces(text):
            yield self._delta(channel, piece)

    def _flush(self, going_on: Channel | None) -> Iterator[Json]:
        """What another channel still holds back, before this one goes on."""
        held = self._open
        if held is not None and held is not going_on and held.rest:
            rest, held.rest = held.rest, ""
            yield self._delta(held, rest)

    def _delta(self, channel: Channel, piece: str) -> Json:
        kind, more = DELTAS[channel.kind]
        return self._event(kind, {**channel.place, "delta": piece, **more})

    def _ends(self, item: Json, index: int) -> Iterator[Json]:
        place = self._place(item["id"])
        if item["type"] == "function_call":
            said = {"arguments": item["arguments"], "name": item["name"]}
            yield self._event("response.function_call_arguments.done", {**place, **said})
        for number, part in enumerate(item.get("content", ())):
            yield from self._part_ends({**place, "content_index": number}, part)
        yield self._event("response.output_item.done", {"output_index": index, "item": item})

    def _part_ends(self, place: Json, part: Json) -> Iterator[Json]:
        for number, note in enumerate(part.get("annotations", ())):
            noted = {**place, "annotation_index": number, "annotation": note}
            yield self._event("response.output_text.annotation.added", noted)
        if part["type"] == "refusal":
            yield self._event("response.refusal.done", {**place, "refusal": part["refusal"]})
        else:
            said = {"text": part["text"], "logprobs": []}
            yield self._event("response.output_text.done", {**place, **said})
        yield self._event("response.content_part.done", {**place, "part": part})

    def _event(self, kind: str, more: Json) -> Json:
        event = {"type": kind, "sequence_number": self.number, **more}
        self.number += 1
        self.told = True
        return event


EMPTY: Final[Mapping[str, Json]] = {
    "text": {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
    "refusal": {"type": "refusal", "refusal": ""},
}
DELTAS: Final[Mapping[str, tuple[str, Json]]] = {
    "text": ("response.output_text.delta", {"logprobs": []}),
    "refusal": ("response.refusal.delta", {}),
    "arguments": ("response.function_call_arguments.delta", {}),
}
"""The event that tells a piece, and what it says beside it."""
