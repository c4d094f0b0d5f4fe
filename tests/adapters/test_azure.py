"""Azure's classic addresses: the deployment in the path, the key in a header of its own."""

from typing import Any

import pytest

from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, GenerationRequest, RequestKind
from tests.adapters.canned import Canned
from tests.adapters.conftest import Open
from tests.adapters.test_openai import REQUEST
from tests.adapters.test_openai_kinds import TEXTS, embedded, packed
from tests.adapters.test_openai_stream import CHUNKS, DONE, TOLD
from worker.adapters.azure import AzureAdapter
from worker.adapters.base import Adapter, Answer, CallError

VERSION = "2024-10-21"
AMBIENT = {
    "AZURE_OPENAI_API_KEY": "leak-key",
    "AZURE_OPENAI_AD_TOKEN": "leak-token",
    "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:9/leak",
    "OPENAI_API_VERSION": "leak-version",
    "OPENAI_API_KEY": "leak-key",
    "OPENAI_ADMIN_KEY": "leak-admin",
    "OPENAI_ORG_ID": "leak-organization",
    "OPENAI_PROJECT_ID": "leak-project",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/leak",
    "OPENAI_CUSTOM_HEADERS": "X-Extra: leak-extra\nApi-Key: leak-header",
}


@pytest.fixture
def adapter(provider: Canned, open_adapter: Open, monkeypatch: pytest.MonkeyPatch) -> Adapter:
    for name, value in AMBIENT.items():
        monkeypatch.setenv(name, value)
    return open_adapter(provider.url, adapter_class=AzureAdapter, path="/", api_version=VERSION)


async def ask(
    adapter: Adapter, request: GenerationRequest = REQUEST, told: list[Delta] | None = None
) -> Answer:
    return await adapter.complete(
        request,
        model="my-deployment",
        attempt_id="att_1",
        timeout=10,
        told=None if told is None else told.append,
    )


async def test_the_deployment_is_in_the_path_and_the_key_in_its_header(
    provider: Canned, adapter: Adapter
) -> None:
    provider.headers["apim-request-id"] = "req_9"
    answer = await ask(adapter)
    assert (answer.result.content, answer.provider_request_id) == ("Fine.", "req_9")
    path = f"/openai/deployments/my-deployment/chat/completions?api-version={VERSION}"
    assert provider.asked == [f"POST {path} HTTP/1.1"]
    [(headers, body)] = provider.heard
    assert (headers["api-key"], headers["x-client-request-id"]) == ("sk-ours", "att_1")
    assert "authorization" not in headers
    assert body["max_completion_tokens"] == 50
    assert "leak" not in str(provider.heard)


async def test_it_streams_and_embeds_as_openai_does(provider: Canned, adapter: Adapter) -> None:
    filtered = {"choices": [], "model": "", "prompt_filter_results": []}
    provider.streams(filtered, *CHUNKS, DONE)
    told: list[Delta] = []
    answer = await ask(adapter, told=told)
    assert (told, answer.result.content) == (TOLD, "Fine 茶.")
    provider.says(embedded(packed(1), packed(2)))
    assert TEXTS.kind is RequestKind.EMBEDDING
    assert len((await ask(adapter, TEXTS)).result.embeddings) == 2
    assert "/deployments/my-deployment/embeddings?" in provider.asked[-1]


@pytest.mark.parametrize(
    ("status", "error", "kind", "wait"),
    [
        (429, {"code": "429", "message": "Slower."}, FailureKind.RATE_LIMITED, 1.25),
        (
            400,
            {"code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}},
            FailureKind.CONTENT_FILTERED,
            1.25,
        ),
        (404, {"code": "DeploymentNotFound", "message": "?"}, FailureKind.NOT_FOUND, 1.25),
        (401, {"code": "401", "message": "Access denied"}, FailureKind.AUTH, 1.25),
        (408, {"code": "Timeout"}, FailureKind.TIMEOUT, 1.25),
        (429, {"code": "insufficient_quota"}, FailureKind.QUOTA, None),
        (429, {"code": "NoCapacity"}, FailureKind.OVERLOADED, 1.25),
        (500, {"code": "InternalServerError"}, FailureKind.SERVER, 1.25),
        (503, {"code": "ServiceUnavailable"}, FailureKind.OVERLOADED, 1.25),
    ],
)
async def test_its_errors_have_our_words(
    provider: Canned,
    adapter: Adapter,
    status: int,
    error: Any,
    kind: FailureKind,
    wait: float | None,
) -> None:
    provider.says({"error": error}, status, retry_after_ms="1250", apim_request_id="req_9")
    with pytest.raises(CallError) as caught:
        await ask(adapter)
    refusal = caught.value
    assert (refusal.kind, refusal.retry_after) == (kind, wait)
    assert refusal.provider_request_id == "req_9"
    assert len(provider.heard) == 1


async def test_a_check_asks_for_the_models(provider: Canned, adapter: Adapter) -> None:
    await adapter.check(timeout=5)
    assert provider.asked == [f"GET /openai/models?api-version={VERSION} HTTP/1.1"]
