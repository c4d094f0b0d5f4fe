"""Names of models: aliases, what the environment chooses, and what a wrong one is told."""

import pytest

from shared.catalog.aliases import variables_of
from shared.catalog.load import load_catalog
from shared.domain.errors import ConfigurationError, UnknownModelError

CATALOG = load_catalog()


def test_an_address_out_of_the_environment_gets_the_path_of_its_wire() -> None:
    given = {"AZURE_OPENAI_ENDPOINT": " https://ours.openai.azure.com/ "}
    azure = load_catalog(variables=given).providers["azure"]
    assert azure.base_url == "https://ours.openai.azure.com/openai/v1"
    assert CATALOG.providers["azure"].base_url is None


@pytest.mark.parametrize(
    ("variables", "alias", "model"),
    [
        ({}, "default", "gpt-4.1-mini"),
        ({}, "high", "gpt-6.1-sol"),
        ({}, "anthropic-low", "claude-haiku-5-5"),
        ({"AI_DEFAULT_PROVIDER": "anthropic"}, "high", "claude-opus-5-5"),
        ({"AI_DEFAULT_PROVIDER": "GROK"}, "high", "grok-4.7"),
        ({"AI_DEFAULT_PROVIDER": "azure_openai"}, "low", "gpt-5.4-nano"),
        ({"AI_DEFAULT_PROVIDER": "gemini"}, "default", "gemini-3.8-flash"),
        ({"AI_DEFAULT_MODEL": "gpt-4o", "AI_DEFAULT_PROVIDER": "xai"}, "default", "gpt-4o"),
        ({"AI_DEFAULT_MODEL": "anthropic-high"}, "default", "claude-opus-5-5"),
        ({"GEMINI_MODEL_NAME_LOW": "gemini-2.5-flash"}, "gemini-low", "gemini-2.5-flash"),
        ({"OPENAI_MODEL_NAME_HIGH": "gpt-4.1"}, "high", "gpt-4.1"),
    ],
)
def test_purposes_are_names_too_and_the_environment_chooses(
    variables: dict[str, str], alias: str, model: str
) -> None:
    catalog = load_catalog(variables=variables)
    assert catalog.model(alias).id == model
    assert set(variables) <= set(variables_of(catalog))


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("AI_DEFAULT_PROVIDER", "no provider is called 'acme'; choose of openai, azure"),
        ("AI_DEFAULT_MODEL", "unknown model 'acme'"),
        ("GROK_MODEL_NAME_HIGH", "unknown model 'acme'"),
    ],
)
def test_a_wrong_name_in_the_environment_is_told_by_its_variable(variable: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(variables={variable: "acme"})
    assert caught.value.message.startswith(f"{variable}: {says}")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("gpt4.1-mini", "gpt-4.1-mini"),
        ("gpt-4o-mimi", "gpt-4o-mini"),
        ("GPT-4o", "gpt-4o"),
        ("zzz", min(CATALOG.models)),
        ("", min(CATALOG.models)),
    ],
)
def test_an_unknown_model_is_told_with_near_ones(name: str, near: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        CATALOG.model(name)
    assert caught.value.field == "model"
    assert repr(name) in caught.value.message
    assert near in caught.value.message
