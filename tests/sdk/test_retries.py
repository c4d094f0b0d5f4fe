"""An SDK that tries again never has its work done twice, and never gets another's."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import openai
import pytest

from tests.sdk.conftest import MODEL, Stack, until
from tests.sdk.lossy import LEAVE, LOSE_REPLY, LOSE_REQUEST, PASS, lossy_proxy

SETTINGS = {"PROMPTMILL_API__SYNC_WAIT": "8"}
NUMBERS = count()


class Counted:
    """An SDK whose tries are counted."""

    def __init__(self, stack: Stack, **options: Any) -> None:
        self.tries = 0
        self.http = openai.DefaultHttpxClient(event_hooks={"request": [self._count]})
        self.sdk = stack.sdk(http_client=self.http, **options)

    def _count(self, _: Any) -> None:
        self.tries += 1


@pytest.fixture
def prompt() -> str:
    """In no other test's requests."""
    return f"question {next(NUMBERS)} of the retries."


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def chat(sdk: openai.OpenAI, prompt: str, **more: Any) -> str:
    answer: Any = sdk.chat.completions.create(model=MODEL, messages=said(prompt), **more)
    return str(answer.id)


def streamed(sdk: openai.OpenAI, prompt: str) -> str:
    chunks = list(sdk.chat.completions.create(model=MODEL, messages=said(prompt), stream=True))
    assert chunks[-1].choices[0].finish_reason
    return str(chunks[-1].id)


def list_models(sdk: openai.OpenAI, times: int) -> None:
    for _ in range(times):
        sdk.models.list()


def embedded(sdk: openai.OpenAI, prompt: str) -> str:
    answer = sdk.embeddings.create(model="text-embedding-3-small", input=prompt)
    return str(len(answer.data[0].embedding))


@pytest.mark.parametrize("ask", [chat, streamed, embedded])
@pytest.mark.parametrize("losses", [[LOSE_REPLY], [LEAVE, LOSE_REPLY], [LOSE_REQUEST]])
def test_a_lost_reply_is_one_job_and_one_call(
    stack: Stack, prompt: str, ask: Any, losses: list[str]
) -> None:
    stack.script()
    with lossy_proxy(stack.url, *losses) as lossy, stack.sdk(base_url=f"{lossy.url}/v1") as sdk:
        assert ask(sdk, prompt)
    fates = [*losses, PASS]
    assert lossy.seen == [(str(number), fate) for number, fate in enumerate(fates)]
    assert len(stack.jobs(prompt)) == 1
    assert len(stack.billed(prompt)) == 1


def test_a_client_that_times_out_finds_the_job_that_it_began(stack: Stack, prompt: str) -> None:
    stack.script({"match": {"contains": prompt}, "do": {"stall": 2.0}})
    with stack.sdk(timeout=1.0, max_retries=5) as sdk:
        found = chat(sdk, prompt)
    assert stack.jobs(prompt) == [found.removeprefix("chatcmpl-")]
    assert len(stack.billed(prompt)) == 1


@pytest.mark.parametrize(("ask", "how"), [(chat, "kill"), (chat, "end"), (streamed, "end")])
def test_a_client_whose_server_goes_finds_its_job_at_the_next(
    stack: Stack, prompt: str, ask: Any, how: str
) -> None:
    stack.script({"match": {"contains": prompt}, "do": {"stall": 4.0}})
    with stack.sdk(max_retries=8) as sdk, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, sdk, prompt)
        until("the job is there", lambda: stack.jobs(prompt))
        getattr(stack, how)("api")
        stack.start_api()
        found = asked.result()
    assert stack.jobs(prompt) == [found.removeprefix("chatcmpl-")]
    assert len(stack.billed(prompt)) == 1


def test_identical_calls_of_many_clients_whose_replies_are_lost_stay_as_many(
    stack: Stack, prompt: str
) -> None:
    stack.script()
    number = 6
    with lossy_proxy(stack.url, *[LOSE_REPLY] * number) as lossy:
        sdk = stack.sdk(base_url=f"{lossy.url}/v1")
        with sdk, ThreadPoolExecutor(number) as pool:
            found = set(pool.map(lambda _: chat(sdk, prompt), range(number)))
    assert len(found) == number
    assert len(stack.jobs(prompt)) == number
    assert len(stack.billed(prompt)) == number


def test_who_was_refused_gets_an_answer_of_its_own(stack: Stack, prompt: str) -> None:
    stack.script()
    key = stack.new_key("hasty")
    stack.sql("UPDATE tenants SET requests_per_minute = 20 WHERE name = 'hasty'")
    with stack.sdk(key, max_retries=0) as other:
        first = chat(other, prompt)
        with pytest.raises(openai.RateLimitError):
            list_models(other, 40)
    refused = Counted(stack, key=key, max_retries=8)
    with refused.sdk as sdk:
        second = chat(sdk, prompt)
    assert refused.tries > 1
    assert second != first
    assert len(stack.jobs(prompt)) == 2


def test_a_key_of_the_clients_own_gives_the_same_object_or_a_conflict(
    stack: Stack, prompt: str
) -> None:
    stack.script()
    own = {"Idempotency-Key": prompt}
    counted = Counted(stack)
    with counted.sdk as sdk:
        first = sdk.chat.completions.with_raw_response.create(
            model=MODEL, messages=said(prompt), extra_headers=own
        )
        again = sdk.chat.completions.with_raw_response.create(
            model=MODEL, messages=said(prompt), extra_headers=own
        )
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert again.parse() == first.parse()
        tries = counted.tries
        with pytest.raises(openai.ConflictError) as other:
            chat(sdk, prompt, temperature=0.5, extra_headers=own)
    assert (counted.tries - tries, other.value.code) == (1, "idempotency_mismatch")
    assert len(stack.jobs(prompt)) == 1


def test_a_spent_budget_is_one_try(stack: Stack, prompt: str) -> None:
    stack.script()
    own = {"batch": "tight", "batch_max_cost": 0.000000001}
    counted = Counted(stack)
    with counted.sdk as sdk, pytest.raises(openai.RateLimitError) as spent:
        chat(sdk, prompt, extra_body={"promptmill": own})
    assert (spent.value.code, spent.value.type) == ("insufficient_quota", "insufficient_quota")
    assert "retry-after" not in spent.value.response.headers
    assert counted.tries == 1


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_takes_too_long_is_told_where_to_find(
    stack: Stack, prompt: str, *, stream: bool
) -> None:
    stack.script({"match": {"contains": prompt}, "do": {"stall": 11.0}})
    counted = Counted(stack)
    with counted.sdk as sdk, pytest.raises(openai.InternalServerError) as late:
        chat(sdk, prompt, stream=stream)
    assert (late.value.status_code, counted.tries) == (504, 1)
    where = late.value.response.headers["location"]
    assert where in late.value.message
    with stack.http() as http:
        assert http.get(where, params={"wait": 30}).json()["state"] == "succeeded"
