"""An attempt as a worker holds it, without a database."""

from dataclasses import replace
from typing import Any

from shared.db.start import StartedAttempt

DEPLOYMENT = "openai/gpt-4.1-mini"


def attempt(**changes: Any) -> StartedAttempt:
    """A first try of five."""
    first = StartedAttempt(
        attempt_id="att_1",
        job_id="job_1",
        tenant_id="ten_a",
        epoch=3,
        deployment=DEPLOYMENT,
        queue="openai",
        permit_tokens=15,
        hold_nano=1000,
        tries=0,
        max_tries=5,
        max_tokens=5,
        lane=1,
        waited=0.0,
        seconds_left=3600.0,
        last_failure=None,
        last_error=None,
        further="later",
        tried=[],
        policy=None,
        request={},
    )
    return replace(first, **changes)
