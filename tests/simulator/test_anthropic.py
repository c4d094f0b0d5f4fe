"""What the real Anthropic SDK sees."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import jsonschema_rs
import pytest
from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient

from tests.simulator.process import DEADLINE_SECONDS, PLAIN, Simulator

MODEL = "claude-sonnet-5-5"
ASKED: Any = {"role": "user", "content": "Why tea?"}
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
TOOLS: Any = [{"name": "weather", "input_schema": PARAMETERS}]
LONG = "The same long beginning, word for word. " * 200
THINK: Any = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(
        api_key="sk-test",
        base_url=f"{simulator.url}/anthropic",
        max_retries=0,
        timeout=DEADLINE_SECONDS,
        http_client=DefaultAsyncHttpxClient(**PLAIN),
    ) as client:
        yield client


async def create(client: AsyncAnthropic, *messages: Any, **options: Any) -> anthropic.types.Message:
    options = {"model": MODEL, "max_tokens": 2000, "messages": messages or [ASKED], **options}
    message: anthropic.types.Message = await client.messages.create(**options)
    return message


async def test_a_message_has_its_shape_and_its_bill(
    client: AsyncAnthropic, simulator: Simulator
) -> None:
    message = await create(client, extra_headers={"x-client-request-id": "att_1"})
    line = simulator.ledger()[-1]
    assert message.content[0].type == "text"
    assert (message.stop_reason, message.role) == ("end_turn", "assistant")
    assert (line.provider, line.client_request_id) == ("anthropic", "att_1")
    usage = message.usage
    assert (line.prompt_tokens, line.completion_tokens) == (usage.input_tokens, usage.output_tokens)
    assert line.cost_nano == usage.input_tokens * 2000 + usage.output_tokens * 10_000
    counted = await client.messages.count_tokens(model=MODEL, messages=[ASKED])
    assert counted.input_tokens == usage.input_tokens
    assert MODEL in [model.id async for model in client.models.list()]


async def test_a_maximum_and_a_stop_sequence_end_it(client: AsyncAnthropic) -> None:
    cut = await create(client, max_tokens=5)
    stopped = await create(client, stop_sequences=[" fox"])
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 5)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " fox")


@pytest.mark.parametrize(
    "options",
    [
        {"extra_body": {"temperature": 1.0}},
        {"max_tokens": 1000, "thinking": THINK},
        {"thinking": THINK, "tools": TOOLS, "tool_choice": {"type": "any"}},
        {"messages": [{"role": "assistant", "content": "I begin."}]},
        {"messages": [{"role": "user", "content": []}]},
        {
            "messages": [
                ASKED,
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "toolu_x", "content": "?"}],
                },
            ]
        },
        {"extra_headers": {"anthropic-version": ""}, "max_tokens": None},
    ],
)
async def test_what_anthropic_refuses_is_refused(
    client: AsyncAnthropic, options: dict[str, Any]
) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        await create(client, **options)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id


async def test_an_older_version_takes_a_temperature(client: AsyncAnthropic) -> None:
    old = {"anthropic-version": "2023-06-01"}
    message = await create(client, extra_headers=old, extra_body={"temperature": 0.5})
    assert message.content


async def test_a_tool_is_called_and_its_result_gets_a_text(client: AsyncAnthropic) -> None:
    first = await create(client, tools=TOOLS, thinking=THINK)
    thought, call = first.content
    assert first.stop_reason == "tool_use"
    assert thought.type == "thinking"
    assert call.type == "tool_use"
    assert jsonschema_rs.validator_for(PARAMETERS).is_valid(call.input)
    assert first.usage.output_tokens_details is not None
    assert first.usage.output_tokens_details.thinking_tokens > 0
    turn = {"role": "assistant", "content": [block.model_dump() for block in first.content]}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    answer = {"role": "user", "content": [result]}
    options = {"tools": TOOLS, "thinking": THINK}
    second = await create(client, ASKED, turn, answer, **options)
    assert [block.type for block in second.content] == ["thinking", "text"]
    with pytest.raises(anthropic.BadRequestError, match=call.id):
        await create(client, ASKED, turn, ASKED, **options)
    bare = {"role": "assistant", "content": turn["content"][1:]}
    with pytest.raises(anthropic.BadRequestError, match="Expected `thinking`"):
        await create(client, ASKED, bare, answer, **options)
    forged = {**thought.model_dump(), "thinking": "other"}
    altered = {"role": "assistant", "content": [forged, *turn["content"][1:]]}
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        await create(client, ASKED, altered, answer, **options)


async def test_parallel_calls_can_be_forbidden(client: AsyncAnthropic) -> None:
    async def called(**choice: Any) -> int:
        both = {"role": "user", "content": "[parallel]"}
        message = await create(client, both, tools=TOOLS, tool_choice={"type": "auto", **choice})
        return len([block for block in message.content if block.type == "tool_use"])

    assert await called() == 2
    assert await called(disable_parallel_tool_use=True) == 1


async def test_an_answer_is_json_of_the_schema_that_was_asked_for(client: AsyncAnthropic) -> None:
    form = {"type": "json_schema", "schema": PARAMETERS}
    message = await create(client, output_config={"format": form, "effort": "low"})
    assert message.content[0].type == "text"
    assert jsonschema_rs.validator_for(PARAMETERS).is_valid(json.loads(message.content[0].text))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"thinking": {"type": "adaptive"}, "tools": TOOLS},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ],
)
async def test_a_stream_puts_together_what_the_bill_says(
    client: AsyncAnthropic, simulator: Simulator, options: dict[str, Any]
) -> None:
    async with client.messages.stream(
        model=MODEL, max_tokens=2000, messages=[ASKED], **options
    ) as stream:
        kinds = [event.type async for event in stream]
        message = await stream.get_final_message()
    line = simulator.ledger()[-1]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert message.usage.output_tokens == line.completion_tokens
    assert message.usage.input_tokens == line.prompt_tokens
    assert message.stop_reason == ("tool_use" if "thinking" in options else "end_turn")
    if line.searches:
        assert message.usage.server_tool_use is not None
        assert message.usage.server_tool_use.web_search_requests == 1
        assert line.cost_nano % 10_000_000 != line.cost_nano
    for block in message.content:
        if block.type == "tool_use":
            assert jsonschema_rs.validator_for(PARAMETERS).is_valid(block.input)


async def test_the_cache_works_up_to_a_breakpoint(
    client: AsyncAnthropic, simulator: Simulator
) -> None:
    def turn(text: str, **control: Any) -> Any:
        return {"type": "text", "text": text, **({"cache_control": control} if control else {})}

    async def used(*blocks: Any) -> list[int]:
        usage = (await create(client, {"role": "user", "content": list(blocks)})).usage
        created = usage.cache_creation
        assert created is not None
        short, long = created.ephemeral_5m_input_tokens, created.ephemeral_1h_input_tokens
        assert usage.cache_creation_input_tokens == short + long
        return [usage.input_tokens, usage.cache_read_input_tokens or 0, short, long]

    day = turn(LONG, type="ephemeral", ttl="1h")
    plain, read, short, long = await used(turn(LONG), turn("Why?"))
    assert (read, short, long) == (0, 0, 0)
    fresh, read, short, long = await used(day, turn("Why?"))
    assert (read, short, fresh + long) == (0, 0, plain)
    line = simulator.ledger()[-1]
    assert line.cost_nano == fresh * 2000 + long * 4000 + line.completion_tokens * 10_000
    assert await used(day, turn("Why not?")) == [fresh + 1, long, 0, 0]
    more = turn("And so on. " * 50, type="ephemeral")
    _, read, short, _ = await used(day, more, turn("Why?"))
    assert (read, short > 100) == (long, True)
    assert simulator.ledger()[-1].cached_tokens == long


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (402, anthropic.APIStatusError, "billing_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.APIStatusError, "overloaded_error"),
    ],
)
async def test_each_status_has_its_word(
    client: AsyncAnthropic,
    simulator: Simulator,
    status: int,
    kind: type[anthropic.APIStatusError],
    word: str,
) -> None:
    await simulator.script({"do": {"status": status, "retry_after": 1.2}})
    with pytest.raises(kind) as caught:
        await create(client)
    assert (caught.value.status_code, caught.value.type) == (status, word)
    assert caught.value.response.headers["retry-after"] == "2"


async def test_an_unknown_model_is_not_found(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model: claude-imaginary"):
        await create(client, model="claude-imaginary")


async def test_limits_count_input_on_arrival_and_output_as_it_is_written(
    client: AsyncAnthropic, simulator: Simulator
) -> None:
    await simulator.limit(rpm=9, tpm=90_000, output_tpm=5, window=30)
    raw = await client.messages.with_raw_response.create(
        model=MODEL, max_tokens=2000, messages=[ASKED]
    )
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "8"
    assert raw.headers["anthropic-ratelimit-output-tokens-remaining"] == "0"
    assert raw.headers["anthropic-ratelimit-tokens-limit"] == "5"
    assert raw.headers["anthropic-ratelimit-input-tokens-reset"].endswith("Z")
    with pytest.raises(anthropic.RateLimitError, match="5 output tokens") as caught:
        await create(client)
    assert caught.value.response.headers["retry-after"] == "30"
    stats = await simulator.stats()
    line = simulator.ledger()[-1]
    assert stats["max_tokens_in_window"] == line.prompt_tokens


async def test_faults_are_told_in_its_own_words(
    client: AsyncAnthropic, simulator: Simulator
) -> None:
    broken = {"stream_error": True, "type": "overloaded_error", "message": "Overloaded"}
    await simulator.script(
        {"times": 1, "do": {"refusal": "No."}},
        {"times": 1, "do": broken},
        {"times": 1, "do": {"cut": True}},
        {"do": {"status": 429, "code": "enforced_spend_limit_reached"}},
    )
    refused = await create(client)
    assert (refused.stop_reason, refused.content) == ("refusal", [])
    with pytest.raises(anthropic.APIStatusError, match="Overloaded") as caught:
        async for _ in await client.messages.create(
            model=MODEL, max_tokens=200, messages=[ASKED], stream=True
        ):
            pass
    assert caught.value.type == "overloaded_error"
    stream = await client.messages.create(
        model=MODEL, max_tokens=200, messages=[ASKED], stream=True
    )
    assert "message_stop" not in [event.type async for event in stream]
    with pytest.raises(anthropic.RateLimitError) as spent:
        await create(client)
    assert spent.value.error_code == "enforced_spend_limit_reached"
