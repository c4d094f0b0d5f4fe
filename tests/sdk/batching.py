"""What the tests of batches do over and over: lines, uploads, ends, downloads."""

import io
import json
from typing import Any, Final

import openai

from tests.sdk.conftest import MODEL, until

CHATS: Final = "/v1/chat/completions"
EMBEDDINGS: Final = "/v1/embeddings"
RESPONSES: Final = "/v1/responses"


def line(custom_id: str, prompt: str = "Why?", **body: Any) -> dict[str, Any]:
    """A line of a batch of chats."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 9}
    return {"custom_id": custom_id, "method": "POST", "url": CHATS, "body": {**asked, **body}}


def jsonl(*lines: Any) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


def upload(client: openai.OpenAI, content: bytes) -> Any:
    return client.files.create(file=("in.jsonl", io.BytesIO(content)), purpose="batch")


def start(client: openai.OpenAI, content: bytes, **options: Any) -> Any:
    asked: dict[str, Any] = {"endpoint": CHATS, "completion_window": "24h", **options}
    return client.batches.create(input_file_id=upload(client, content).id, **asked)


def over(client: openai.OpenAI, batch_id: str, *, within: float = 60.0) -> Any:
    """The batch when it has ended."""

    def ended() -> Any:
        batch = client.batches.retrieve(batch_id)
        final = {"completed", "failed", "expired", "cancelled"}
        return batch if batch.status in final else None

    return until("the batch ends", ended, within=within)


def read(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(each) for each in client.files.content(file_id).text.splitlines()]
