"""The other kinds of OpenAI's requests: prompts that are continued, texts that become vectors."""

import struct
from base64 import b64encode
from typing import Any

import pytest

from shared.domain.failure import FailureKind
from shared.domain.generation import (
    Delta,
    FinishReason,
    GenerationRequest,
    RequestKind,
    Usage,
)
from tests.adapters.canned import Canned
from tests.adapters.conftest import Open
from worker.adapters.base import Adapter, CallError
from worker.adapters.responses import ResponsesAdapter

PROMPT = GenerationRequest(
    model="m", kind=RequestKind.COMPLETION, prompt="Once", max_tokens=9, stop=("end",), seed=0
)
TEXTS = GenerationRequest(
    model="m", kind=RequestKind.EMBEDDING, input=("red", "green"), dimensions=2
)
COMPLETED = {
    "model": "gpt-3.5-turbo-instruct",
    "choices": [{"text": " upon a time", "index": 0, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 3},
}


def packed(*numbers: float) -> str:
    return b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def embedded(*vectors: Any) -> dict[str, Any]:
    """The vectors in reverse: their index tells the order."""
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    return {"model": "text-embedding-3-small", "data": data[::-1], "usage": usage}


async def call(adapter: Adapter, request: GenerationRequest, **more: Any) -> Any:
    answer = await adapter.complete(request, model="m", attempt_id="att_1", timeout=10, **more)
    return answer.result


async def test_a_prompt_is_continued(provider: Canned, open_adapter: Open) -> None:
    provider.says(COMPLETED)
    result = await call(open_adapter(provider.url), PROMPT)
    assert (result.content, result.finish_reason) == (" upon a time", FinishReason.STOP)
    assert result.usage == Usage(input_tokens=1, output_tokens=3)
    assert provider.asked == ["POST /v1/completions HTTP/1.1"]
    [(_, body)] = provider.heard
    assert body == {"model": "m", "prompt": "Once", "max_tokens": 9, "stop": ["end"], "seed": 0}


async def test_a_continuation_streams(provider: Canned, open_adapter: Open) -> None:
    choices = [{"text": text, "finish_reason": None} for text in (" upon", " a time", "")]
    choices[-1]["finish_reason"] = "length"
    chunks = ({"model": "m-1", "service_tier": "flex", "choices": [choice]} for choice in choices)
    provider.streams(*chunks, {"choices": [], "usage": COMPLETED["usage"]}, "data: [DONE]\n\n")
    told: list[Delta] = []
    result = await call(open_adapter(provider.url), PROMPT, told=told.append)
    assert told == [Delta(text=" upon"), Delta(text=" a time")]
    assert (result.content, result.finish_reason) == (" upon a time", FinishReason.LENGTH)
    assert result.model == "m-1"
    assert result.usage == Usage(input_tokens=1, output_tokens=3, service_tier="flex")


@pytest.mark.parametrize(
    "vectors",
    [(packed(0.5, -2), packed(1.5, 3)), ([0.5, -2], [1.5, 3]), (packed(0.5, -2), [1.5, 3])],
)
async def test_vectors_come_packed_or_in_digits_and_in_the_order_of_the_texts(
    provider: Canned, open_adapter: Open, vectors: Any
) -> None:
    provider.says(embedded(*vectors))
    result = await call(open_adapter(provider.url), TEXTS)
    assert result.embeddings == ((0.5, -2.0), (1.5, 3.0))
    assert (result.content, result.finish_reason) == ("", FinishReason.STOP)
    assert result.usage == Usage(input_tokens=2)
    assert provider.asked == ["POST /v1/embeddings HTTP/1.1"]
    [(_, body)] = provider.heard
    assert body == {
        "model": "m",
        "input": ["red", "green"],
        "dimensions": 2,
        "encoding_format": "base64",
    }


async def test_vectors_do_not_stream(provider: Canned, open_adapter: Open) -> None:
    provider.says(embedded(packed(1), packed(2)))
    told: list[Delta] = []
    result = await call(open_adapter(provider.url), TEXTS, told=told.append)
    assert (told, len(result.embeddings)) == ([], 2)


@pytest.mark.parametrize(
    "body",
    [
        embedded(),
        embedded(packed(1)),
        embedded(packed(1), packed(2), packed(3)),
        embedded(packed(1), ""),
        embedded(packed(1), []),
        embedded(packed(1), "AAA="),
        embedded(packed(1), "?!"),
        embedded(packed(1), ["x"]),
        embedded(packed(1), None),
        {},
        [],
        {"data": [{"embedding": [1]}]},
    ],
)
async def test_what_is_not_a_vector_for_each_text_is_no_answer(
    provider: Canned, open_adapter: Open, body: Any
) -> None:
    provider.says(body)
    with pytest.raises(CallError) as caught:
        await call(open_adapter(provider.url), TEXTS)
    assert caught.value.kind is FailureKind.BAD_RESPONSE


async def test_a_kind_that_the_wire_has_not_is_refused_and_nothing_is_sent(
    provider: Canned, open_adapter: Open
) -> None:
    with pytest.raises(CallError, match="no requests of kind completion") as caught:
        await call(open_adapter(provider.url, adapter_class=ResponsesAdapter), PROMPT)
    assert caught.value.kind is FailureKind.BAD_REQUEST
    assert provider.heard == []


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_a_vector_holds_numbers_only(
    provider: Canned, open_adapter: Open, number: float
) -> None:
    provider.says(embedded(packed(1), packed(1, number)))
    with pytest.raises(CallError, match="no number"):
        await call(open_adapter(provider.url), TEXTS)
