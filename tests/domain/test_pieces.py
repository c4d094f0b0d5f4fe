"""An answer that came whole is told as a stream would have told it."""

from dataclasses import replace
from typing import Any

import pytest

from shared.domain.conversation import ToolCall
from shared.domain.generation import Delta, FinishReason, GenerationResult, deltas_of

WHOLE = GenerationResult(finish_reason=FinishReason.STOP, model="m", usage=None)
CALLS = (ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="g", arguments="[1]"))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"content": "Fine."}, [Delta(text="Fine.")]),
        ({"refusal": "No."}, [Delta(refusal="No.")]),
        ({"embeddings": ((1.0, 2.0),)}, []),
        (
            {"content": "Let me see.", "tool_calls": CALLS},
            [
                Delta(text="Let me see."),
                Delta(tool_call=0, tool_call_id="a", tool_name="f", arguments="{}"),
                Delta(tool_call=1, tool_call_id="b", tool_name="g", arguments="[1]"),
            ],
        ),
    ],
)
def test_every_part_of_it_is_told(said: dict[str, Any], told: list[Delta]) -> None:
    assert list(deltas_of(replace(WHOLE, **said))) == told
