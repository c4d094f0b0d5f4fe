"""Steps of a client of Responses, in words."""

from typing import Any

import openai
import pytest

from tests.sdk.conftest import MODEL, Stack, until
from tests.sdk.library import CUT_OFF

LONG = " ".join(f"word{number}" for number in range(60))
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "Now.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def create(client: openai.OpenAI, prompt: str, **changes: Any) -> Any:
    """A response to this."""
    return client.responses.create(**{"model": MODEL, "input": prompt, **changes})


def ended(client: openai.OpenAI, response_id: str) -> Any:
    """The response, once it has ended."""

    def found() -> Any:
        response = client.responses.retrieve(response_id)
        return None if response.status in {"queued", "in_progress"} else response

    return until("the response has ended", found)


def running(client: openai.OpenAI, response_id: str) -> None:
    """Wait until the response is in progress."""

    def found() -> bool:
        return client.responses.retrieve(response_id).status == "in_progress"

    until("the response is in progress", found)


def kill_amid(client: openai.OpenAI, stack: Stack, prompt: str) -> tuple[str, list[Any]]:
    """A stream in the background whose API is killed amid it; what was heard until then."""
    stack.script({"do": {"content": LONG, "slow_bytes": 0.05}})
    stream, heard = create(client, prompt, background=True, stream=True), []
    for event in stream:
        heard.append(event)
        if len(heard) == 20:
            break
    stack.kill("api")
    with pytest.raises(CUT_OFF):
        heard.extend(stream)
    stack.start_api()
    return heard[0].response.id, heard


def text_of(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")
