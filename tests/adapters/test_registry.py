"""From the catalog's rows to adapters, and why a provider has none."""

from dataclasses import replace

import pytest

from shared.catalog.deployments import Catalog, Provider
from shared.catalog.wires import UNSUPPORTED
from shared.domain.clock import SystemClock
from shared.settings import WorkerSettings
from tests.adapters.canned import Canned
from worker.adapters.registry import DIALECTS, Adapters, open_adapters

ROW = Provider(id="p", adapter="openai", base_url="http://127.0.0.1:9", key_variables=("P_KEY",))


async def opened(*providers: Provider) -> Adapters:
    """The adapters of these rows; each is closed again."""
    catalog = Catalog(providers={row.id: row for row in providers}, models={}, limits={})
    adapters = open_adapters(catalog, connections=2, settings=WorkerSettings(), clock=SystemClock())
    await adapters.close()
    return adapters


def test_every_wire_of_the_catalog_has_an_adapter() -> None:
    assert set(DIALECTS) == set(UNSUPPORTED)


async def test_every_dialect_opens_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P_KEY", "sk-ours")
    rows = [replace(ROW, id=name, adapter=name, api_version="v1") for name in DIALECTS]
    adapters = await opened(*rows)
    assert set(adapters.ready) == set(DIALECTS)
    assert adapters.missing == {}


async def test_a_changed_catalog_opens_what_changed_and_closes_what_went_later() -> None:
    here = [replace(ROW, id=name, key_variables=()) for name in ("same", "moves", "goes")]
    rows = {row.id: row for row in here}
    adapters = open_adapters(
        Catalog(providers=rows, models={}, limits={}),
        connections=2, settings=WorkerSettings(), clock=SystemClock(),
    )  # fmt: skip
    before = dict(adapters.ready)
    moved = replace(rows["moves"], base_url="http://127.0.0.1:10")
    after = {"same": rows["same"], "moves": moved, "comes": replace(moved, id="comes")}
    adapters.renew(Catalog(providers=after, models={}, limits={}))
    assert adapters.ready["same"] is before["same"]
    assert set(adapters.ready) == {"same", "moves", "comes"}
    assert [each for _, each in adapters.retired] == [before["moves"], before["goes"]]
    await adapters.close_retired(60.0)
    assert len(adapters.retired) == 2
    await adapters.close_retired(0.0)
    assert adapters.retired == []
    await adapters.close()


async def test_a_process_that_seldom_calls_opens_a_client_with_its_first_call() -> None:
    rows = {name: replace(ROW, id=name, key_variables=()) for name in ("asked", "left alone")}
    adapters = open_adapters(
        Catalog(providers=rows, models={}, limits={}),
        connections=2, settings=WorkerSettings(), clock=SystemClock(), lazily=True,
    )  # fmt: skip
    assert set(adapters.ready) == set(rows)
    assert adapters.ready.get("nobody") is None
    first = adapters.ready["asked"]
    assert adapters.ready["asked"] is first
    assert set(adapters.ready.opened) == {"asked"}
    adapters.renew(Catalog(providers={}, models={}, limits={}))
    assert [each for _, each in adapters.retired] == [first]
    await adapters.close()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (replace(ROW, adapter="telex"), "no adapter is called 'telex'"),
        (replace(ROW, base_url=None), "no base_url"),
        (replace(ROW, adapter="azure"), "no api_version"),
        (replace(ROW, adapter="gemini"), "no api_version"),
        (replace(ROW, key_variables=("P_KEY", "Q_KEY")), "P_KEY or Q_KEY is not set"),
    ],
)
async def test_a_provider_that_cannot_be_called_says_why(
    row: Provider, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("P_KEY", raising=False)
    adapters = await opened(row)
    assert adapters.ready == {}
    assert reason in adapters.missing["p"]


@pytest.mark.parametrize("wire", ["openai", "openai-responses", "anthropic", "gemini"])
async def test_a_rows_own_headers_come_from_its_variables_alone(
    wire: str, provider: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from those that the official clients read."""
    monkeypatch.setenv("P_KEY", "sk-ours")
    monkeypatch.setenv("P_ORG", " org-ours ")
    monkeypatch.delenv("P_PROJECT", raising=False)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-leaked")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-leaked")
    row = replace(
        ROW,
        adapter=wire,
        api_version="v1",
        base_url=provider.url,
        header_variables={"OpenAI-Organization": "P_ORG", "OpenAI-Project": "P_PROJECT"},
    )
    catalog = Catalog(providers={"p": row}, models={}, limits={})
    adapters = open_adapters(catalog, connections=2, settings=WorkerSettings(), clock=SystemClock())
    await adapters.ready["p"].check(timeout=5)
    await adapters.close()
    [(headers, _)] = provider.heard
    assert headers["openai-organization"] == "org-ours"
    assert "openai-project" not in headers
    assert "leaked" not in str(headers)
