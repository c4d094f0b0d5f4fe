"""No error tells a secret that a provider quotes."""

import pytest
from pydantic import SecretStr

from shared.domain.conversation import Message, Role
from shared.domain.failure import FailureKind
from shared.domain.generation import GenerationRequest
from tests.adapters.canned import Canned
from tests.adapters.conftest import Open
from tests.adapters.test_openai import REQUEST
from worker.adapters.base import CallError
from worker.adapters.discretion import Discreet, scrubbed, unquoted

KEY = "plain-words-are-a-key"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Incorrect API key: sk-pr*****9f2. Find it", "Incorrect API key: [hidden] Find it"),
        ("x sk-ant-api03-AbC_d-9 y", "x [hidden] y"),
        ("key AIzaSyD-9tSrke72PouQMnMX is bad", "key [hidden] is bad"),
        ("gave xai-0123456789ab", "gave [hidden]"),
        ("Authorization: Bearer abc123.DEF-456 is old", "Authorization: Bearer [hidden] is old"),
        ("token ya29.a0Af_H6 has expired", "token [hidden] has expired"),
        ("GET /v1?key=abc&alt=sse", "GET /v1?key=[hidden]&alt=sse"),
        ("limit of organization org-AbC123xyz", "limit of organization [hidden]"),
        ("consumer projects/123456789 is off", "consumer [hidden] is off"),
        ("as mill@our-project.iam.gserviceaccount.com", "as [hidden]"),
        (f"the key {KEY} is revoked", "the key [hidden] is revoked"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_hidden(said: str, told: str) -> None:
    assert scrubbed(said, KEY) == told


@pytest.mark.parametrize(
    "said",
    [
        "maximum context length is 8192 tokens, but you asked for 9000",
        "You need to use Bearer authentication.",
        "The task-oriented model gpt-5.4-mini does not know desk-based words.",
        "req_0123456789abcdef: Rate limit reached; try again in 6ms.",
        "messages[3].content[1].url: https://a.example/b.png cannot be fetched",
    ],
)
def test_what_is_no_secret_stays(said: str) -> None:
    assert scrubbed(said, "none") == said


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_errors_of_every_kind_are_scrubbed(
    provider: Canned, open_adapter: Open, status: int
) -> None:
    provider.says({"error": {"message": f"No: {KEY} and sk-live-1234567890."}}, status=status)
    adapter = Discreet(open_adapter(provider.url, key=KEY), SecretStr(KEY))
    with pytest.raises(CallError) as called:
        await adapter.complete(REQUEST, model="m", attempt_id="att_1", timeout=10)
    with pytest.raises(CallError) as checked:
        await adapter.check(timeout=10)
    for failed in (called.value, checked.value):
        assert failed.message == str(failed) == f"{status}: No: [hidden] and [hidden]"
        assert isinstance(failed.kind, FailureKind)


PROMPT = "Dear doctor, my name is Ann Example and since Monday I have had a fever."


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"400: cannot read {PROMPT!r} at all", "400: cannot read '[hidden]' at all"),
        (f"400: near {PROMPT[10:60]!r}", "400: near '[hidden]'"),
        (f"{PROMPT[5:50]}|{PROMPT[:33]}", "[hidden]|[hidden]"),
        (f"400: {PROMPT[:20]!r} is a word", f"400: {PROMPT[:20]!r} is a word"),
        ("429: Slower, try again in 6ms; so it is.", "429: Slower, try again in 6ms; so it is."),
    ],
)  # fmt: skip
def test_an_error_does_not_quote_the_prompt(said: str, told: str) -> None:
    spoken = (Message(role=Role.USER, content=f"Hello. {PROMPT}"),)
    assert unquoted(said, GenerationRequest(model="m", messages=spoken)) == told
    assert unquoted(said, GenerationRequest(model="m", prompt=PROMPT)) == told
    assert unquoted(said, GenerationRequest(model="m", input=("x", PROMPT))) == told
