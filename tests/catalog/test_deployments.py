"""The catalog: what is built in, what an overlay changes, and how a mistake in it is told."""

import re
from pathlib import Path

import pytest

from shared.broker.messages import SERVICE_QUEUES
from shared.catalog.deployments import Capability, route_of
from shared.catalog.limits import Limits
from shared.catalog.load import RESERVED, load_catalog
from shared.catalog.prices import Prices
from shared.catalog.pricing import price_of, unpriced
from shared.catalog.wires import UNSUPPORTED, USER_ID
from shared.domain.clock import SystemClock
from shared.domain.errors import ConfigurationError
from shared.domain.generation import RequestKind, Usage

CATALOG = load_catalog()
NOW = SystemClock().now()
PAPERS = Path(__file__).parents[2] / "docs"


def overlay(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_the_built_in_catalog_reads_without_an_overlay() -> None:
    assert {"openai", "simulator"} <= set(CATALOG.providers)
    for model in CATALOG.models.values():
        assert model.default_output <= model.max_output <= model.context_window
        assert CATALOG.plan(model.id)[0].provider.id == model.provider


def test_every_chat_model_says_what_a_router_asks() -> None:
    words = {
        "planning", "code_write", "reasoning", "function_calling", "long_context", "multimodal",
        "vision", "fast_tasks", "real_time",
    }  # fmt: skip
    chat = [each for each in CATALOG.models.values() if each.kind is RequestKind.CHAT]
    assert set().union(*(each.tags for each in chat)) == words
    assert {each.tier for each in chat} == {"low", "medium", "high"}
    assert {each.quality for each in chat} == {each.speed for each in chat} == {1, 2, 3, 4, 5}
    assert all("vision" in each.tags for each in chat if Capability.VISION in each.capabilities)


def test_an_overlay_replaces_single_values_and_adds_tables(tmp_path: Path) -> None:
    text = """
    [limits.openai]
    requests = 7
    [limits."openai/gpt-4o"]
    concurrency = 3
    [providers.local]
    adapter = "openai"
    base_url = "http://localhost:8000/v1"
    [models.llama]
    provider = "local"
    price_model = "gpt-4.1-nano"
    context_window = 8000
    max_output = 2000
    """
    catalog = load_catalog(overlay(tmp_path, text))
    mini, omni = (catalog.plan(name)[0] for name in ("gpt-4.1-mini", "gpt-4o"))
    [llama] = catalog.plan("llama")
    assert (mini.limits.requests, mini.limits.tokens) == (7, CATALOG.limits["openai"].tokens)
    assert omni.limits == Limits(concurrency=3)
    assert (llama.id, llama.queue, llama.limits) == ("local/llama", "local", Limits())
    assert (llama.model.priced_as, mini.model.priced_as) == ("gpt-4.1-nano", "gpt-4.1-mini")
    assert catalog.find("local/llama") == llama


def test_a_rehearsal_never_meets_a_real_provider_and_real_work_never_the_stand_in() -> None:
    catalog = load_catalog(simulator_url="http://127.0.0.1:5")
    for model in catalog.models.values():
        real = catalog.plan(route_of(model, rehearse=False))
        staged = catalog.plan(route_of(model, rehearse=True))
        assert not any(deployment.provider.rehearsal for deployment in real)
        assert [each.provider.adapter for each in staged] == [real[0].provider.adapter]
        assert {each.queue for each in staged} == {"simulator"}
        assert staged[0].price_provider == real[0].price_provider
    [mini] = catalog.plan("rehearsal:gpt-4.1-mini")
    assert (mini.id, mini.upstream) == ("simulator/gpt-4.1-mini", "gpt-4.1-mini")
    assert catalog.providers["simulator"].base_url == "http://127.0.0.1:5/v1"
    assert catalog.providers["simulator-gemini"].base_url == "http://127.0.0.1:5/gemini"


def test_one_row_makes_a_compatible_server_serve_its_models(tmp_path: Path) -> None:
    text = """
    [providers.ollama]
    adapter = "openai"
    base_url = "http://localhost:11434/v1"
    models = ["llama-4", "gpt-4.1-mini"]
    [models.llama-4]
    capabilities = ["tools"]
    """
    catalog = load_catalog(overlay(tmp_path, text))
    [llama] = catalog.plan("llama-4")
    assert (llama.id, llama.upstream, llama.queue) == ("ollama/llama-4", "llama-4", "ollama")
    assert (llama.model.context_window, llama.model.max_output) == (32_768, 4096)
    assert llama.model.capabilities == {"tools"}
    assert llama.prices == Prices()
    served_by = [each.provider.id for each in catalog.plan("gpt-4.1-mini")]
    assert served_by == ["openai", "azure", "ollama"]


def test_nothing_is_free_that_somebody_may_send_a_bill_for(tmp_path: Path) -> None:
    at_home = "[providers.ollama]\nadapter = 'openai'\nmodels = ['llama-4']\n"
    paid = (
        "[providers.acme]\nadapter = 'openai'\nkey_variables = ['ACME_API_KEY']\n"
        "models = ['llama-4', 'gpt-5']\nprice_provider = 'openai'\n"
    )
    catalog = load_catalog(overlay(tmp_path, at_home + paid))
    assert [line.partition(":")[0] for line in unpriced(catalog, NOW)] == ["models.llama-4"] * 2
    [listed] = catalog.plan("gpt-5")
    assert price_of(listed, Usage(input_tokens=10**6), NOW).cost_nano == 1_250_000_000
    named = "[providers.ollama.prices]\n[providers.acme.prices]\ninput = '2'\n"
    priced = load_catalog(overlay(tmp_path, at_home + paid + named))
    assert unpriced(priced, NOW) == []
    costs = [
        price_of(each, Usage(input_tokens=10**6), NOW).cost_nano for each in priced.plan("llama-4")
    ]
    assert costs == [0, 2_000_000_000]


@pytest.mark.parametrize("paper", ["providers.md", "add-a-provider.md"])
def test_the_papers_examples_are_overlays(tmp_path: Path, paper: str) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (PAPERS / paper).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        before = len(list(CATALOG.deployments())) + len(CATALOG.aliases)
        catalog = load_catalog(overlay(tmp_path, block))
        assert catalog != CATALOG
        assert len(list(catalog.deployments())) + len(catalog.aliases) >= before


def test_the_papers_tables_are_those_of_the_code() -> None:
    text = (PAPERS / "providers.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z-]+)`(?:, `azure`)? \| (.*) \|$", text, re.MULTILINE))
    for wire, refused in UNSUPPORTED.items():
        if wire == "azure":
            continue
        fields = {each for each in refused if each not in set(RequestKind) | {USER_ID}}
        assert fields <= set(re.findall(r"`(\w+)`", rows[wire])), wire
    for provider in CATALOG.providers.values():
        if not provider.rehearsal:
            named = re.findall(r"`([A-Z_]+)`", text)
            assert {*provider.key_variables, *provider.other_variables} <= set(named)


def test_several_providers_serve_a_model_each_under_its_own_name(tmp_path: Path) -> None:
    text = '[deployments."azure/gpt-4.1"]\nupstream = "our-gpt"\n'
    path = overlay(tmp_path, text)
    plan = load_catalog(path).plan("gpt-4.1")
    assert [each.id for each in plan] == ["openai/gpt-4.1", "azure/gpt-4.1"]
    assert [each.upstream for each in plan] == ["gpt-4.1", "our-gpt"]
    assert {each.price_provider for each in plan} == {"openai"}
    preferring = load_catalog(path, variables={"AI_DEFAULT_PROVIDER": "azure"})
    assert [each.provider.id for each in preferring.plan("gpt-4.1")] == ["azure", "openai"]
    assert [each.provider.id for each in preferring.plan("gpt-4o-mini")][-1] == "openai"


def test_no_provider_can_take_the_queues_of_the_service() -> None:
    assert set(SERVICE_QUEUES) == RESERVED


def test_a_route_of_a_model_that_is_gone_has_no_deployment() -> None:
    assert CATALOG.plan("gpt-gone") == CATALOG.plan("rehearsal:gpt-gone") == ()
    with pytest.raises(KeyError):
        CATALOG.find("openai/gpt-gone")


def test_a_missing_overlay_names_the_variable_and_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.toml"
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(path)
    assert caught.value.message == f"PROMPTMILL_CATALOG names {path}, which does not exist"


def test_a_folder_is_no_overlay(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"PROMPTMILL_CATALOG names {tmp_path}, which"):
        load_catalog(tmp_path)


def test_an_overlay_that_is_no_text_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"mine\.toml is not TOML"):
        load_catalog(path)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("[limits.openai\n", "is not TOML"),
        ("[limit.openai]\nrequests = 5\n", "[limit]"),
        ("limits = 5\n", "limits.NAME must be a table"),
        ("[limits]\nopenai = 5\n", "limits.openai must be a table"),
        ("models = []\n", "models.NAME must be a table"),
        ("[providers]\nsimulator = 'x'\n", "providers.simulator must be a table"),
        ("[limits.openai]\nrequest = 5\n", "[limits.openai] has an unknown setting 'request'"),
        ("[limits.openai]\nrequests = 'many'\n", "limits.openai.requests: "),
        ("[limits.openai]\nrequests = -1\n", "limits.openai.requests: "),
        ("[limits.openai]\nwindow = 0\n", "limits.openai.window: "),
        ("[limits.openai]\nwindow = nan\n", "limits.openai.window: "),
        ("[limits.openai]\nmargin = nan\n", "limits.openai.margin: "),
        ("[limits.openai]\nmargin = 1\n", "limits.openai.margin: "),
        ("[limits.opneai]\nrequests = 5\n", "limits.opneai: it names no provider"),
        ("[limits.'openai/gpt-5o']\nrequests = 5\n", "limits.openai/gpt-5o: it names no"),
        ("[models.mine]\nmax_output = 5\n", "models.mine.context_window: "),
        ("[models.gpt-4o]\nmax_output = 0\n", "models.gpt-4o.max_output: "),
        ("[models.gpt-4o]\nspeed = 6\n", "models.gpt-4o.speed: "),
        ("[models.gpt-4o]\nprovider = 'acme'\n", "models.gpt-4o: no provider is called 'acme'"),
        ("[providers.acme]\nbase_url = 'x'\n", "providers.acme.adapter: "),
        ("[providers.acme]\nadapter = 5\n", "providers.acme.adapter: "),
        ("[providers.acme]\nadapter = 'openai'\nmodels = 5\n", "providers.acme.models: a list"),
        ("[providers.simulator]\nstands_for = 'x'\n", "providers.simulator.stands_for: no"),
        ("[aliases]\nfast = 5\n", "aliases.fast must be a model's name"),
        ("[aliases]\nfast = 'gpt-4o-mimi'\n", "aliases.fast: unknown model 'gpt-4o-mimi'; did you"),
        ("[aliases]\ngpt-4o = 'gpt-4.1'\n", "aliases.gpt-4o: a model has that name"),
        ("[models.high]\ncontext_window = 5\n", "aliases.high: a model has that name"),
        ("[models.xai-low]\ncontext_window = 5\n", "aliases.xai-low: a model has that name"),
        ("[models.'rehearsal:x']\ncontext_window = 5\n", "models.rehearsal:x: "),
        ("[providers.'a/b']\nadapter = 'openai'\n", "providers.a/b: up to 64 letters, digits"),
        ("[providers.upkeep]\nadapter = 'openai'\n", "providers.upkeep: its queue cannot be"),
        ("[providers.a]\nadapter = 'openai'\nqueue = 'b c'\n", "providers.a: its queue cannot"),
        ("[deployments.openai]\nupstream = 'x'\n", "deployments.openai: it names no provider/"),
        ("[deployments.'openai/gpt-5o']\nupstream = 'x'\n", "deployments.openai/gpt-5o: it"),
        ("[deployments.'openai/gpt-4o']\nupstream = 5\n", "deployments.openai/gpt-4o.upstream: "),
        ("[deployments.'openai/gpt-4o']\nname = 'x'\n", "unknown setting 'name'"),
    ],
)
def test_a_mistake_in_an_overlay_names_the_file_and_the_entry(
    tmp_path: Path, text: str, entry: str
) -> None:
    path = overlay(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(path, simulator_url="http://127.0.0.1:5")
    assert str(path) in caught.value.message
    assert entry in caught.value.message
    assert "\n" not in caught.value.message
