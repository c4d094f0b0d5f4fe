"""Limits in the catalog: each provider's own, and what a row may say."""

from pathlib import Path

import pytest

from shared.catalog.limits import Counting
from shared.catalog.load import load_catalog
from shared.domain.errors import ConfigurationError


def overlaid(folder: Path, text: str) -> Path:
    overlay = folder / "catalog.toml"
    overlay.write_text(text)
    return overlay


@pytest.mark.parametrize(
    ("provider", "counts"),
    [
        ("openai", Counting.RESERVED),
        ("azure", Counting.RESERVED),
        ("xai", Counting.RESERVED),
        ("anthropic", Counting.METERED),
        ("gemini", Counting.INPUT),
        ("simulator-anthropic", Counting.METERED),
        ("simulator-gemini", Counting.INPUT),
    ],
)
def test_every_provider_is_counted_as_it_counts(provider: str, counts: Counting) -> None:
    assert load_catalog().limits[provider].counts is counts


def test_a_row_of_one_model_keeps_its_providers_way_of_counting(tmp_path: Path) -> None:
    text = """
    [limits."anthropic/claude-haiku-4-5"]
    output_tokens = 10_000
    [limits."gemini/gemini-2.5-pro"]
    requests_per_day = 50
    day_zone = "UTC"
    """
    limits = load_catalog(overlaid(tmp_path, text)).limits
    haiku, pro = limits["anthropic/claude-haiku-4-5"], limits["gemini/gemini-2.5-pro"]
    assert (haiku.counts, haiku.output_tokens, haiku.requests) == (Counting.METERED, 10_000, 0)
    assert (pro.counts, pro.requests_per_day, pro.day_zone) == (Counting.INPUT, 50, "UTC")
    assert limits["gemini"].day_zone == "America/Los_Angeles"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ('day_zone = "Pacific"', "limits.openai.day_zone: "),
        ('day_zone = "../etc"', "no time zone is called"),
        ('counts = "guessed"', "limits.openai.counts: "),
        ("short_windows = [0]", "limits.openai.short_windows"),
        ("burst = 1.5", "limits.openai.burst: "),
        ("short_margin = 1", "limits.openai.short_margin: "),
        ("requests_per_second = -1", "limits.openai.requests_per_second: "),
    ],
)
def test_a_row_that_says_nonsense_is_refused_by_its_name(
    tmp_path: Path, setting: str, told: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_catalog(overlaid(tmp_path, f"[limits.openai]\n{setting}\n"))
    assert told in refused.value.message
