"""The tier that money is held for is the tier that is asked for, where a server knows tiers."""

from contextlib import suppress
from dataclasses import replace
from typing import Final

import pytest

from shared.catalog.deployments import Catalog, Provider
from shared.catalog.load import load_catalog
from shared.domain.clock import SystemClock
from shared.domain.conversation import Message, Role
from shared.domain.generation import GenerationRequest, RequestKind
from shared.settings import WorkerSettings
from tests.adapters.canned import Canned
from worker.adapters.base import CallError
from worker.adapters.registry import DIALECTS, open_adapters

CHAT: Final = GenerationRequest(
    model="m", messages=(Message(role=Role.USER, content="Why tea?"),), max_tokens=5
)
EMBEDDING: Final = GenerationRequest(model="m", kind=RequestKind.EMBEDDING, input="tea")
COMPLETION: Final = GenerationRequest(model="m", kind=RequestKind.COMPLETION, prompt="tea")
ROW: Final = Provider(id="p", adapter="openai", api_version="v1")


async def asked_tier(row: Provider, request: GenerationRequest, provider: Canned) -> object:
    """The tier in the body that the adapter of this row sends."""
    row = replace(row, base_url=provider.url)
    catalog = Catalog(providers={row.id: row}, models={}, limits={})
    adapters = open_adapters(catalog, connections=1, settings=WorkerSettings(), clock=SystemClock())
    with suppress(CallError):
        await adapters.ready["p"].complete(request, model="m", attempt_id="att_1", timeout=5.0)
    await adapters.close()
    [(_, body)] = provider.heard
    return body.get("service_tier")


@pytest.mark.parametrize(
    ("wire", "request_", "tier"),
    [
        ("openai", CHAT, "some"),
        ("openai-responses", CHAT, "some"),
        ("anthropic", CHAT, "some"),
        # These have no tiers.
        ("openai", EMBEDDING, None),
        ("openai", COMPLETION, None),
    ],
)
async def test_a_row_with_a_tier_asks_for_it(
    wire: str, request_: GenerationRequest, tier: str | None, provider: Canned
) -> None:
    row = replace(ROW, adapter=wire, service_tier="some")
    assert await asked_tier(row, request_, provider) == tier


@pytest.mark.parametrize("wire", sorted(DIALECTS))
async def test_a_row_without_a_tier_asks_for_none(wire: str, provider: Canned) -> None:
    assert await asked_tier(replace(ROW, adapter=wire), CHAT, provider) is None


def test_those_who_let_an_account_choose_the_tier_are_told_the_standard_one() -> None:
    tiers = {row.id: row.service_tier for row in load_catalog().providers.values()}
    named = {name: tier for name, tier in tiers.items() if tier}
    assert named == {"openai": "default", "anthropic": "standard_only"}
