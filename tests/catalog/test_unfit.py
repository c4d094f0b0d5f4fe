"""What a model or a wire cannot express is told by its field, or left out where that is wished."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import TypeAdapter

from shared.catalog.fit import fit
from shared.catalog.load import load_catalog
from shared.catalog.wires import FOREIGN, NEEDS, NOTHING, UNSUPPORTED, as_taken, searching, uses
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest, RequestKind

CATALOG: Final = load_catalog()
REQUEST: Final = TypeAdapter(GenerationRequest)
SAID: Final = [{"role": "user", "content": "hi"}]
TOOL: Final = {"name": "look", "parameters": {"type": "object", "properties": {}}}
CALL: Final = {"id": "c1", "name": "look", "arguments": "{}"}
CALLED: Final = [
    *SAID,
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "42"},
]
IMAGE: Final = {"type": "image", "url": "data:image/png;base64,AAAA"}
FILE: Final = {"type": "file", "url": "https://files.example/a.pdf"}
EVERY_OPTION: Final[dict[str, Any]] = {
    "temperature": 0.0, "top_p": 0.5, "presence_penalty": 0.1, "frequency_penalty": 0.1,
    "stop": ["x"], "seed": 0, "tools": [TOOL], "tool_choice": "auto",
    "parallel_tool_calls": False, "response_schema": {"schema": {}}, "reasoning_effort": "low",
    "web_search": True, "prompt_cache": "5m", "metadata": {"team": "blue"}, "dimensions": 3,
}  # fmt: skip


def request(model: str = "gpt-4.1", **fields: Any) -> GenerationRequest:
    return REQUEST.validate_python({"model": model, "messages": SAID, **fields})


def refused(asked: GenerationRequest) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        fit(CATALOG, asked)
    assert caught.value.message.startswith(f"{caught.value.field}: ")
    return caught.value


def spoken(*parts: dict[str, str]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "look"}, *parts]}]


@pytest.mark.parametrize(
    ("model", "fields", "path"),
    [
        ("gpt-4.1", {"web_search": True}, "web_search"),
        ("gpt-4.1", {"reasoning_effort": "low"}, "reasoning_effort"),
        ("sonar", {"stop": ["x"]}, "stop"),
        ("sonar", {"seed": 1}, "seed"),
        ("sonar", {"presence_penalty": 0.1}, "presence_penalty"),
        ("sonar", {"tools": [TOOL]}, "tools"),
        ("sonar", {"metadata": {"a": "b"}}, "metadata"),
        ("claude-opus-5-5", {"seed": 1}, "seed"),
        ("claude-opus-5-5", {"temperature": 1.0}, "temperature"),
        ("claude-opus-5-5", {"metadata": {"a": "b", "user_id": "u"}}, "metadata"),
        ("gemini-3.8-flash", {"metadata": {"user_id": "u"}}, "metadata.user_id"),
        ("gemini-3.8-flash", {"parallel_tool_calls": True}, "parallel_tool_calls"),
        ("grok-4.7", {"stop": ["x"]}, "stop"),
        ("grok-code-fast-1", {"messages": spoken(IMAGE)}, "messages[0].content[1]"),
        ("grok-4.7", {"messages": spoken(IMAGE, FILE)}, "messages[0].content[2]"),
        ("sonar", {"messages": CALLED}, "messages[1].tool_calls"),
        ("gpt-4.1", {"dimensions": 5}, "dimensions"),
        ("gpt-4.1", {"kind": "completion", "messages": [], "prompt": "x"}, "kind"),
        ("text-embedding-3-small", {"input": "x"}, "kind"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_its_path(
    model: str, fields: dict[str, Any], path: str
) -> None:
    assert refused(request(model, **fields)).field == path


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"messages": []}, "messages"),
        ({"prompt": "x"}, "prompt"),
        ({"input": "x"}, "input"),
        ({"messages": CALLED[2:]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{**SAID[0], "tool_call_id": "c1"}]}, "messages[0].tool_call_id"),
        ({"messages": [{**SAID[0], "tool_calls": [CALL]}]}, "messages[0].tool_calls"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "arguments": "[]"}]}]},
            "messages[0].tool_calls[0].arguments",
        ),
        ({"messages": spoken({"type": "image", "url": "file:///x"})}, "messages[0].content[1].url"),
        ({"tools": [TOOL, TOOL]}, "tools[1].name"),
        ({"tools": [{**TOOL, "parameters": {"type": "strin"}}]}, "tools[0].parameters.type"),
        ({"tools": [{**TOOL, "parameters": {"type": "array"}}]}, "tools[0].parameters.type"),
        (
            {"response_schema": {"schema": {"properties": {"a": {"minimum": "x"}}}}},
            "response_schema.schema.properties.a.minimum",
        ),
        (
            {"response_schema": {"schema": {"$ref": "http://127.0.0.1:9/a"}}},
            "response_schema.schema",
        ),
        ({"tool_choice": {"name": "other"}, "tools": [TOOL]}, "tool_choice.name"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_its_path(fields: dict[str, Any], path: str) -> None:
    assert refused(request(**fields, drop_unsupported=True)).field == path


@pytest.mark.parametrize("wire", sorted(UNSUPPORTED))
def test_every_option_is_taken_or_left_out_where_that_is_wished(wire: str) -> None:
    model = next(
        each
        for each in CATALOG.models.values()
        if each.kind is RequestKind.CHAT
        and CATALOG.providers[each.provider].adapter
        == wire.replace("azure", "openai").replace("vertex", "gemini")
    )
    asked = request(model.id, **EVERY_OPTION, drop_unsupported=True)
    fitted = fit(CATALOG, asked).request
    refused_by_wire = UNSUPPORTED[wire] | set(CATALOG.providers[model.provider].unsupported)
    for name, nothing in NOTHING.items():
        kept = getattr(fitted, name) != nothing
        able = name not in NEEDS or NEEDS[name] in model.capabilities
        sampled = model.sampling or name not in {
            "temperature", "top_p", "presence_penalty", "frequency_penalty",
        }  # fmt: skip
        foreign = name in FOREIGN[model.kind]
        assert kept == (able and sampled and not foreign and name not in refused_by_wire), name
    assert not set(uses(fitted)) & refused_by_wire


def test_content_is_never_left_out() -> None:
    for model, turns in (
        ("grok-code-fast-1", spoken(IMAGE)), ("grok-4.7", spoken(FILE)), ("sonar", CALLED)
    ):  # fmt: skip
        error = refused(request(model, messages=turns, drop_unsupported=True))
        assert "drop_unsupported" not in error.message


def test_labels_that_a_wire_has_no_place_for_go_and_the_users_own_stays() -> None:
    labels = {"user_id": "u", "team": "blue"}
    asked = request("claude-opus-5-5", metadata=labels, drop_unsupported=True)
    assert fit(CATALOG, asked).request.metadata == {"user_id": "u"}
    for model in ("gemini-3.8-flash", "gpt-4.1"):
        assert fit(CATALOG, replace(asked, model=model)).request.metadata is None


def test_each_kind_of_request_has_its_own_content() -> None:
    asked = REQUEST.validate_python(
        {"model": "text-embedding-3-small", "kind": "embedding", "input": ["a"], "dimensions": 9}
    )
    fitted = fit(CATALOG, asked)
    assert (fitted.max_tokens, fitted.request.max_tokens) == (0, None)
    for name, value in (("max_tokens", 5), ("stream", True), ("temperature", 0.0)):
        assert refused(replace(asked, **{name: value})).field == name  # type: ignore[arg-type]
    dropped = replace(asked, stream=True, max_tokens=5, drop_unsupported=True)
    assert fit(CATALOG, dropped).request == replace(asked, drop_unsupported=True)
    assert refused(replace(asked, input=("a", ""))).field == "input"
    asked = REQUEST.validate_python(
        {"model": "gpt-3.5-turbo-instruct", "kind": "completion", "prompt": "Once"}
    )
    assert fit(CATALOG, asked).request.max_tokens == 256
    assert refused(replace(asked, prompt="")).field == "prompt"
    assert refused(replace(asked, prompt=" a", max_tokens=4095, web_search=True)).field


def test_one_deployment_that_can_take_it_is_enough_and_the_others_are_named(tmp_path: Path) -> None:
    overlay = tmp_path / "catalog.toml"
    overlay.write_text("""
    [providers.openai-responses]
    adapter = "openai-responses"
    base_url = "https://api.openai.com/v1"
    models = ["gpt-4.1"]
    """)
    catalog = load_catalog(overlay, simulator_url="http://127.0.0.1:5")
    searching, seeded = request(web_search=True), request(seed=1)
    assert fit(catalog, request()).unfit == ()
    assert fit(catalog, searching).unfit == ("openai/gpt-4.1", "azure/gpt-4.1")
    assert fit(catalog, searching, rehearse=True).unfit == ("simulator/gpt-4.1",)
    assert fit(catalog, seeded).unfit == ("openai-responses/gpt-4.1",)
    both = request(web_search=True, seed=1)
    with pytest.raises(InvalidRequestError, match="web_search: openai has no place for it"):
        fit(catalog, both)
    fitted = fit(catalog, replace(both, drop_unsupported=True))
    assert (fitted.request.web_search, fitted.request.seed) == (False, 1)
    assert fitted.unfit == ("openai-responses/gpt-4.1",)


def test_who_came_into_the_catalog_later_gets_only_what_it_has_a_place_for() -> None:
    openai = CATALOG.providers["openai"]
    both = request(web_search=True, seed=1)
    assert as_taken(request(seed=1), openai) == (request(seed=1), frozenset())
    assert as_taken(both, openai) == (both, frozenset({"web_search"}))
    wished = replace(both, drop_unsupported=True)
    assert as_taken(wished, openai) == (replace(wished, web_search=False), frozenset())
    blind = replace(openai, unsupported=("images",))
    seen = request(messages=spoken(IMAGE), web_search=True, drop_unsupported=True)
    assert as_taken(seen, blind) == (replace(seen, web_search=False), frozenset({"images"}))


def test_a_model_that_searches_for_every_answer_is_asked_to_where_that_can_be_said(
    tmp_path: Path,
) -> None:
    sonar, mini = CATALOG.find("perplexity/sonar"), CATALOG.find("xai/grok-4.7")
    assert searching(request("sonar"), sonar).web_search
    assert not searching(request("sonar"), mini).web_search
    assert searching(request("sonar", web_search=True), mini).web_search
    overlay = tmp_path / "catalog.toml"
    overlay.write_text("[providers.perplexity]\nadapter = 'openai'\n")
    mute = load_catalog(overlay).find("perplexity/sonar")
    assert not searching(request("sonar"), mute).web_search


def test_an_alias_is_stored_as_the_model_that_it_means() -> None:
    assert fit(CATALOG, request("anthropic-high")).request.model == "claude-opus-5-5"


def test_an_unknown_capability_says_who_has_it() -> None:
    error = refused(request("gpt-4.1-nano", reasoning_effort="low"))
    assert "gpt-5.4" in error.message
    assert error.message.endswith("leave it out, or set drop_unsupported")


@pytest.mark.parametrize("kind", ["image", "file"])
@pytest.mark.parametrize("model", ["gpt-4.1", "claude-sonnet-5-5", "gemini-3.8-flash"])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("gs://bucket/a.png", "must begin with https:// or data:"),
        ("http://a.example/a.png", "must begin with https:// or data:"),
        ("https://generativelanguage.googleapis.com/v1beta/files/abc", "files that Google keeps"),
    ],
)
def test_a_file_that_this_installation_would_open_for_anybody_is_refused(
    model: str, kind: str, url: str, why: str
) -> None:
    error = refused(request(model, messages=spoken({"type": kind, "url": url})))
    assert error.field == "messages[0].content[1].url"
    assert why in error.message


GIVEN: Final = [
    ("anthropic", {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}),
    ("anthropic", {"type": "web_search_tool_result", "tool_use_id": "x", "content": []}),
    ("openai-responses", {"type": "reasoning", "encrypted_content": "gAAA", "summary": []}),
    ("openai-responses", {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}),
    ("gemini", {"text": "Hm.", "thought": True, "thoughtSignature": "b25l"}),
    ("a-wire-of-tomorrow", {"type": "image"}),
]
SMUGGLED: Final = [
    ("anthropic", {"type": "image", "source": {"type": "url", "url": "http://10.0.0.1/"}}),
    ("anthropic", {"type": "tool_result", "content": [{"type": "image"}]}),
    ("openai-responses", {"type": "message", "role": "user", "content": [{"image_url": "x"}]}),
    ("openai-responses", {"type": "function_call_output", "output": [{"image_url": "x"}]}),
    ("openai-responses", {"type": "item_reference", "id": "msg_of_others"}),
    ("gemini", {"fileData": {"fileUri": "gs://bucket-of-others/a.pdf"}}),
]


def turn(role: str, wire: str, data: dict[str, Any]) -> list[dict[str, Any]]:
    opaque = {"type": "opaque", "wire": wire, "data": data}
    return [*SAID, {"role": role, "content": [opaque]}, *SAID]


@pytest.mark.parametrize(("wire", "data"), GIVEN)
def test_what_a_model_gave_goes_back_to_it(wire: str, data: dict[str, Any]) -> None:
    asked = request(messages=turn("assistant", wire, data))
    assert fit(CATALOG, asked).request.messages[1].parts
    assert refused(request(messages=turn("user", wire, data))).field == "messages[1].content[0]"


@pytest.mark.parametrize(("wire", "data"), SMUGGLED)
def test_nothing_to_fetch_comes_as_a_part_of_an_answer(wire: str, data: dict[str, Any]) -> None:
    error = refused(request(messages=turn("assistant", wire, data)))
    assert error.field == "messages[1].content[0].data"
