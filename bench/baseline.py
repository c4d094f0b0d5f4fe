"""What a user would build: a plain Celery task that asks OpenAI's client and keeps the answer."""

import os

import openai
from celery import Celery

from tests.mill import MAX_TOKENS, MODEL

REDIS = os.environ["REDIS_URL"]
app = Celery("baseline", broker=REDIS, backend=REDIS)
client = openai.OpenAI(
    api_key="none", base_url=f"{os.environ['PROMPTMILL_SIMULATOR_URL']}/v1", max_retries=0
)


@app.task  # type: ignore[untyped-decorator]
def complete(number: int) -> str | None:
    """The answer's text, kept by Celery's result backend."""
    completion = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": f"question {number}"}],
        max_completion_tokens=MAX_TOKENS,
    )
    return completion.choices[0].message.content
