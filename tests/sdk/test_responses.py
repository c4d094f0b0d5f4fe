"""The unmodified OpenAI SDK makes, hears, resumes, cancels and deletes responses."""

import json
from typing import Any

import openai
import pytest
import redis
from pydantic import BaseModel

from tests.sdk.conftest import MODEL, Stack, until
from tests.sdk.responding import LONG, WEATHER, create, ended, kill_amid, running, text_of

BEGINNING = ["response.created", "response.queued", "response.in_progress"]


class Place(BaseModel):
    city: str
    people: int


def test_a_response_is_made_while_the_client_waits(client: openai.OpenAI) -> None:
    response = create(client, "Why?", instructions="Be brief.", metadata={"ticket": "4711"})
    assert (response.status, response.error) == ("completed", None)
    assert response.id.startswith("resp_")
    assert response.output_text
    assert response.output[0].content[0].text == response.output_text
    assert (response.instructions, response.metadata) == ("Be brief.", {"ticket": "4711"})
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    again = client.responses.retrieve(response.id)
    assert again == response


def test_a_tool_is_called_and_its_result_is_answered(client: openai.OpenAI) -> None:
    first = create(client, "Is it cold?", tools=[WEATHER])
    [call] = first.output
    assert (call.type, call.name) == ("function_call", "weather")
    assert "city" in json.loads(call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "cold"}
    turns: Any = [{"role": "user", "content": "Is it cold?"}, *first.output, result]
    by_items = create(client, "", input=turns)
    assert by_items.output_text
    by_id = create(client, "", input=[result], previous_response_id=first.id)
    assert by_id.output_text
    assert by_id.previous_response_id == first.id
    page = client.responses.input_items.list(by_id.id)
    assert [item.type for item in page.data] == ["function_call_output"]
    page = client.responses.input_items.list(by_items.id, order="asc", limit=2)
    assert [item.type for item in page.data] == ["message", "function_call"]
    every = [item.type for item in page]
    assert every == ["message", "function_call", "function_call_output"]
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, "And?", previous_response_id="resp_of_nobody")
    assert refused.value.param == "previous_response_id"


def test_structured_output_is_parsed_by_the_sdk(client: openai.OpenAI) -> None:
    response = client.responses.parse(model=MODEL, input="Where?", text_format=Place)
    assert isinstance(response.output_parsed, Place)
    assert response.text is not None
    assert response.text.format is not None
    assert response.text.format.type == "json_schema"


def test_a_stream_is_told_in_events_that_the_sdk_adds_up(
    client: openai.OpenAI, stack: Stack
) -> None:
    stack.script({"do": {"content": LONG}})
    asked: Any = {"model": MODEL, "input": "Long?"}
    with client.responses.stream(**asked) as stream:
        kinds = [(event.type, event.sequence_number) for event in stream]
        final = stream.get_final_response()
    assert [number for _, number in kinds] == list(range(len(kinds)))
    assert [kind for kind, _ in kinds if kind != "response.output_text.delta"] == [
        "response.created", "response.in_progress", "response.output_item.added",
        "response.content_part.added", "response.output_text.done", "response.content_part.done",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert final.output_text == LONG
    assert final.usage is not None


def test_a_streamed_call_of_tools_is_told_whole(client: openai.OpenAI) -> None:
    events = list(create(client, "Cold?", tools=[WEATHER], stream=True))
    arguments = "".join(
        event.delta for event in events if event.type == "response.function_call_arguments.delta"
    )
    [done] = [e for e in events if e.type == "response.function_call_arguments.done"]
    [item] = events[-1].response.output
    assert arguments == done.arguments == item.arguments
    assert json.loads(arguments)["city"]
    assert (item.type, item.name, item.id) == ("function_call", "weather", done.item_id)


def test_a_background_response_is_queued_at_once_and_polled(client: openai.OpenAI) -> None:
    response = create(client, "Later?", background=True)
    assert (response.status, response.output, response.background) == ("queued", [], True)
    polled = ended(client, response.id)
    assert polled.status in {"completed", "incomplete"}
    assert polled.output_text
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, "Later?", background=True, store=False)
    assert refused.value.param == "store"


def test_after_a_kill_of_the_api_the_stream_goes_on_without_gap_or_repeat(
    client: openai.OpenAI,
    stack: Stack,
) -> None:
    response_id, heard = kill_amid(client, stack, "Killed?")
    assert [event.type for event in heard[:3]] == BEGINNING
    rest = client.responses.retrieve(
        response_id, stream=True, starting_after=heard[-1].sequence_number
    )
    events = [*heard, *rest]
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(numbers)))
    assert events[-1].type == "response.completed"
    final = client.responses.retrieve(response_id)
    assert text_of(events) == final.output_text == events[-1].response.output_text == LONG


def test_when_its_log_is_gone_the_stream_is_told_again_from_the_result(
    client: openai.OpenAI,
    stack: Stack,
) -> None:
    response_id, heard = kill_amid(client, stack, "Forgotten?")
    ended(client, response_id)
    from_log = client.responses.retrieve(response_id, stream=True)
    whole = list(from_log)
    with redis.Redis.from_url(stack.redis_url) as logs:
        assert logs.delete(*logs.scan_iter("pm:log:*"))
    rest = client.responses.retrieve(
        response_id, stream=True, starting_after=heard[-1].sequence_number
    )
    events = [*heard, *rest]
    assert [(e.type, e.sequence_number) for e in events] == [
        (e.type, e.sequence_number) for e in whole
    ]
    assert text_of(events) == text_of(whole) == LONG
    with client.responses.stream(response_id=response_id, starting_after=9) as stream:
        assert stream.get_final_response().output_text == LONG
    nothing = client.responses.retrieve(
        response_id, stream=True, starting_after=events[-1].sequence_number
    )
    assert list(nothing) == []


def test_a_background_response_is_cancelled_once_and_for_all(
    client: openai.OpenAI, stack: Stack
) -> None:
    stack.script({"do": {"content": LONG, "slow_bytes": 0.5}})
    response = create(client, "Stop?", background=True, stream=False)
    running(client, response.id)
    for _ in range(2):
        cancelled = client.with_options(max_retries=0).responses.cancel(response.id)
        assert (cancelled.id, cancelled.status) == (response.id, "cancelled")
    stack.script()
    kept = ended(client, (create(client, "Done?", background=True)).id)
    assert client.responses.cancel(kept.id) == kept
    foreground = create(client, "Mine?")
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(foreground.id)


def test_a_stream_of_what_is_cancelled_ends(client: openai.OpenAI, stack: Stack) -> None:
    stack.script({"do": {"content": LONG, "slow_bytes": 0.5}})
    events = []
    for event in create(client, "Stop?", background=True, stream=True):
        events.append(event)
        if event.type == "response.output_text.delta":
            client.responses.cancel(events[0].response.id)
    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "cancelled"


def test_what_is_deleted_cannot_be_read_and_stays_in_the_ledger(
    client: openai.OpenAI, stack: Stack
) -> None:
    own = {"Idempotency-Key": "forget me"}
    response = create(client, "Forget me.", extra_headers=own)
    assert create(client, "Forget me.", extra_headers=own) == response
    client.responses.delete(response.id)
    responses = client.responses
    for read in (responses.retrieve, responses.input_items.list, responses.delete):
        with pytest.raises(openai.NotFoundError):
            read(response.id)
    with pytest.raises(openai.NotFoundError):
        create(client, "Forget me.", extra_headers=own)
    with pytest.raises(openai.BadRequestError):
        create(client, "And?", previous_response_id=response.id)
    job_id = response.id.replace("resp_", "job_")
    [[told, contents]] = stack.sql(
        "SELECT (SELECT count(*) FROM ledger WHERE job_id = %s),"
        " (SELECT count(*) FROM results WHERE job_id = %s)"
        " + (SELECT count(*) FROM payloads WHERE job_id = %s)",
        *[job_id] * 3,
    )
    assert told > 0
    assert contents == 0


def test_a_running_response_is_cancelled_before_it_is_deleted(
    client: openai.OpenAI, stack: Stack
) -> None:
    stack.script({"do": {"content": LONG, "slow_bytes": 0.5}})
    response = create(client, "Drop it.", background=True)
    running(client, response.id)
    client.responses.delete(response.id)
    job_id = response.id.replace("resp_", "job_")
    assert stack.sql("SELECT state FROM jobs WHERE id = %s", job_id) == [("cancelled",)]


def test_another_tenants_response_is_not_there(client: openai.OpenAI, stack: Stack) -> None:
    response = create(client, "Whose?", background=True)
    with stack.sdk(stack.other_key) as other:
        theirs = other.responses
        for call in (theirs.retrieve, theirs.cancel, theirs.delete, theirs.input_items.list):
            with pytest.raises(openai.NotFoundError):
                call(response.id)
        with pytest.raises(openai.NotFoundError):
            theirs.retrieve(response.id, stream=True)
    assert (ended(client, response.id)).output_text
    unkept = create(client, "Whose?", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unkept.id)


def test_a_response_that_fails_says_why(client: openai.OpenAI, stack: Stack) -> None:
    stack.script({"do": {"status": 400, "message": "no such thing"}})
    response = ended(client, (create(client, "Fail?", background=True)).id)
    assert response.status == "failed"
    assert response.error is not None
    assert response.error.code == "invalid_prompt"
    assert "no such thing" in response.error.message
    events = list(create(client, "Fail?", stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "invalid_prompt"
    with pytest.raises(openai.BadRequestError):
        create(client, "Fail?")


def test_an_answer_that_is_cut_is_incomplete(client: openai.OpenAI, stack: Stack) -> None:
    stack.script({"do": {"finish_reason": "length"}})
    response = create(client, "Cut?", max_output_tokens=20)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.max_output_tokens == 20
    events = list(create(client, "Cut?", max_output_tokens=20, stream=True))
    assert events[-1].type == "response.incomplete"
    assert text_of(events) == events[-1].response.output_text


def test_a_refusal_is_a_part_of_the_message(client: openai.OpenAI, stack: Stack) -> None:
    stack.script({"do": {"refusal": "I would rather not say anything of this."}})
    events = list(create(client, "Tell?", stream=True))
    said = "".join(e.delta for e in events if e.type == "response.refusal.delta")
    [part] = events[-1].response.output[0].content
    assert part.type == "refusal"
    assert said == part.refusal == "I would rather not say anything of this."


def test_what_nobody_obeys_is_named_in_a_header(client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(
        model=MODEL, input="Odd?", truncation="auto", reasoning={"summary": "auto"}
    )
    assert raw.headers["x-promptmill-dropped"] == "reasoning.summary, truncation"
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, "Odd?", conversation="conv_1")
    assert refused.value.param == "conversation"


def test_an_answer_that_broke_off_after_a_word_ends_its_stream_with_an_error(
    client: openai.OpenAI,
    stack: Stack,
) -> None:
    broken = {"content": LONG, "slow_bytes": 0.02, "cut": True}
    stack.script({"do": broken, "times": 1}, {"do": {"content": LONG}})
    events = list(create(client, "Break?", background=True, stream=True))
    assert events[-1].type == "error"
    assert text_of(events)
    response = ended(client, events[0].response.id)
    assert response.output_text == LONG

    def told_anew() -> Any:
        stream = client.responses.retrieve(response.id, stream=True)
        return list(stream)

    again = until("the new answer is told", told_anew)
    assert text_of(again) == LONG
    resumed = client.responses.retrieve(
        response.id, stream=True, starting_after=events[-2].sequence_number
    )
    assert [event.type for event in resumed] == ["error"]
