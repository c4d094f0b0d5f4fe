"""docs/webhooks.md: its snippets verify what is sent, and it tells the schedule that is kept."""

import re
from pathlib import Path

import pytest
from openai import InvalidWebhookSignatureError
from pydantic import SecretStr
from standardwebhooks import WebhookVerificationError

from shared.db.endpoints import MOST_BY_HAND, MOST_OF_JOBS
from shared.domain.clock import SystemClock
from shared.domain.event import EventType
from shared.faces.webhook_body import webhook_body
from shared.security.posting import SECONDS
from shared.security.webhooks import endpoint_secrets, signed_headers
from worker.delivery.verdict import WAITS

PAPER = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAPER, re.DOTALL)
REFUSALS = (InvalidWebhookSignatureError, WebhookVerificationError)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["openai", "standardwebhooks"])
def test_each_snippet_verifies_what_is_sent_and_refuses_what_was_changed(
    snippet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = endpoint_secrets(SecretStr("a pepper of some length"), "we_1", 2, with_old=True)
    now = SystemClock().now()
    body = webhook_body("evt_1", EventType.BATCH_COMPLETED, now, {"id": "batch_1"})
    headers = signed_headers([new, old], "evt_1", int(now.timestamp()), body)
    for secret in (new, old):
        monkeypatch.setenv("WEBHOOK_SECRET", secret.get_secret_value())
        made: dict[str, object] = {}
        exec(snippet, made)
        on_webhook = made["on_webhook"]
        assert callable(on_webhook)
        assert on_webhook(body, headers) == "batch.completed of batch_1"
        with pytest.raises(REFUSALS):
            on_webhook(body.replace(b"batch_1", b"batch_2"), headers)


def test_the_schedule_and_the_bounds_are_those_that_are_kept() -> None:
    waits = ", ".join(_span(seconds) for seconds in WAITS)
    told = " ".join(PAPER.split())
    for figure in (
        f"after {waits}, each give or take",
        f"within {SECONDS:.0f} seconds",
        f"at most {MOST_BY_HAND} endpoints",
        f"at most {MOST_OF_JOBS}, and each event",
    ):
        assert figure in told


def test_every_event_is_told_of() -> None:
    table = PAPER.partition("## What is told")[2].partition("## Verify")[0]
    assert {each for each in EventType if f"`{each}`" in table} == set(EventType)


def _span(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
