"""Costs of OpenAI and Azure equal their price pages, summed by hand."""

from datetime import UTC, datetime
from typing import Final

import pytest

from shared.catalog.pricing import price_of
from shared.domain.generation import Usage
from tests.catalog.bills import BATCH, CACHED, IMAGE, LONG, REASONED, WRITTEN, Bill

BILLS: Final = {
    # https://openai.com/api/pricing
    "openai cached": Bill(
        provider="openai",
        model="gpt-4.1-mini",
        usage=CACHED,
        lines={"input": (626, "0.40"), "cached": (411, "0.10"), "output": (97, "1.60")},
    ),
    "openai image": Bill(
        provider="openai",
        model="gpt-4.1-mini",
        usage=IMAGE,
        lines={"input": (2_508, "0.40"), "output": (41, "1.60")},
    ),
    "openai batch, cached input at its full price": Bill(
        provider="openai",
        model="gpt-4.1-mini",
        usage=BATCH,
        lines={"input": (8_998, "0.20"), "cached": (1_001, "0.10"), "output": (501, "0.80")},
    ),
    "openai priority": Bill(
        provider="openai",
        model="gpt-4o",
        usage=Usage(input_tokens=11, output_tokens=13, service_tier="priority"),
        lines={"input": (11, "4.25"), "output": (13, "17")},
    ),
    "openai default tier": Bill(
        provider="openai",
        model="gpt-4o",
        usage=Usage(input_tokens=11, output_tokens=13, service_tier="default"),
        lines={"input": (11, "2.50"), "output": (13, "10")},
    ),
    "openai cache write, one kind of it": Bill(
        provider="openai",
        model="gpt-6.1-sol",
        usage=WRITTEN,
        lines={
            "input": (50_000 - 20_003 - 9_001 - 4_007, "2"),
            "cached": (20_003, "0.10"),
            "written": (9_001 + 4_007, "2.50"),
            "output": (333, "10"),
        },
    ),
    "openai reasoning": Bill(
        provider="openai",
        model="gpt-6.1-sol",
        usage=REASONED,
        lines={"input": (77, "2"), "output": (12_345, "10")},
    ),
    "openai long context": Bill(
        provider="openai",
        model="gpt-6.1-sol",
        usage=LONG,
        lines={"input": (200_000, "4"), "cached": (100_001, "0.20"), "output": (2_003, "15")},
    ),
    "openai up to the long context": Bill(
        provider="openai",
        model="gpt-6.1-sol",
        usage=Usage(input_tokens=272_000, output_tokens=1),
        lines={"input": (272_000, "2"), "output": (1, "10")},
    ),
    "openai flex, long context": Bill(
        provider="openai",
        model="gpt-6.1-sol",
        usage=Usage(input_tokens=272_001, output_tokens=7, service_tier="flex"),
        lines={"input": (272_001, "2"), "output": (7, "7.50")},
    ),
    "openai searches": Bill(
        provider="openai",
        model="gpt-5.4-mini",
        usage=Usage(input_tokens=8_100, output_tokens=77, searches=3),
        lines={"input": (8_100, "0.75"), "output": (77, "4.50")},
        per_thousand={"search": (3, "10")},
    ),
    "openai audio": Bill(
        provider="openai",
        model="gpt-audio",
        usage=Usage(
            input_tokens=900, audio_input_tokens=801, output_tokens=55, audio_output_tokens=44
        ),
        lines={
            "input": (99, "2.50"),
            "heard": (801, "32"),
            "output": (11, "10"),
            "spoken": (44, "64"),
        },
    ),
    "openai before its price fell": Bill(
        provider="openai",
        model="gpt-5.6-luna",
        usage=CACHED,
        at=datetime(2026, 7, 29, 23, 59, tzinfo=UTC),
        lines={"input": (626, "1"), "cached": (411, "0.10"), "output": (97, "6")},
    ),
    "openai after its price fell": Bill(
        provider="openai",
        model="gpt-5.6-luna",
        usage=CACHED,
        at=datetime(2026, 7, 30, tzinfo=UTC),
        lines={"input": (626, "0.20"), "cached": (411, "0.02"), "output": (97, "1.20")},
    ),
    # Azure asks what OpenAI asks: https://azure.microsoft.com/pricing/details/azure-openai
    "azure cached": Bill(
        provider="azure",
        model="gpt-4.1-mini",
        usage=CACHED,
        lines={"input": (626, "0.40"), "cached": (411, "0.10"), "output": (97, "1.60")},
    ),
    "azure batch": Bill(
        provider="azure",
        model="gpt-4.1-mini",
        usage=BATCH,
        lines={"input": (8_998, "0.20"), "cached": (1_001, "0.10"), "output": (501, "0.80")},
    ),
    "azure batch, of a model that its own list has at one price": Bill(
        provider="azure",
        model="o4-mini",
        usage=Usage(input_tokens=9_999, output_tokens=501, service_tier="batch"),
        lines={"input": (9_999, "0.55"), "output": (501, "2.20")},
    ),
    "azure long context": Bill(
        provider="azure",
        model="gpt-6.1-sol",
        usage=LONG,
        lines={"input": (200_000, "4"), "cached": (100_001, "0.20"), "output": (2_003, "15")},
    ),
    "azure reasoning": Bill(
        provider="azure",
        model="gpt-6.1-sol",
        usage=REASONED,
        lines={"input": (77, "2"), "output": (12_345, "10")},
    ),
}


@pytest.mark.parametrize("bill", BILLS.values(), ids=BILLS)
def test_a_cost_is_the_price_pages_to_the_nano_dollar(bill: Bill) -> None:
    assert price_of(bill.called, bill.usage, bill.at).cost_nano == bill.nano


@pytest.mark.parametrize("provider", ["openai", "azure"])
def test_it_is_checked_on_two_models_at_least(provider: str) -> None:
    assert len({bill.model for bill in BILLS.values() if bill.provider == provider}) >= 2
