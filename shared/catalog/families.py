"""How a family of models counts what is no text, and text by another vocabulary than ours."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from shared.catalog.prices import MOST_SEARCHES

EXACT: Final = 100
NEW_CLAUDE: Final = (4, 8)
"""The version from which on Claude has its larger vocabulary of smaller pieces."""
Encoding = Literal["o200k_base", "cl100k_base"]
CLAUDE_VERSION: Final = re.compile(r"claude-[a-z]+-(\d{1,2})(?:-(\d{1,2}))?(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Upper estimates, but for `least`."""

    percent: int
    """Its tokens of a text, of 100 of its encoding."""
    least: int
    """The same, at least."""
    encoding: Encoding = "o200k_base"
    """Its own vocabulary, or the one that its text is estimated by."""
    image: int
    """Tokens of the largest image."""
    small_image: int | None = None
    """Of one that is asked for in low detail; None: detail changes nothing."""
    page: int
    """Tokens of one page of a document: its text and its picture."""
    most_pages: int = 1_000
    """The longest document that the provider takes."""
    tools: int = 12
    """What stands around the tools."""
    schema: int = 100
    """What stands around a response schema."""
    searches: int = MOST_SEARCHES
    """The most web searches of one call: what its request bounds, or what is held for."""
    one_search: bool = False
    """A call that searched is billed for one search, however often it did."""

    @property
    def exact(self) -> bool:
        """Whether its own vocabulary counts its plain text."""
        return self.percent == self.least == EXACT

    @property
    def billed_searches(self) -> int:
        """The most web searches that one call is billed for."""
        return 1 if self.one_search else self.searches


# Images, by the providers' guides on vision. OpenAI: tiles of 170 tokens (5,667 for gpt-4o-mini)
# and a base, at most 8 tiles; or patches, at most 1,536 (10,000 in original detail) by a factor of
# 1 to 2.46. Anthropic: patches of 28 pixels, at most 4,784 (1,568 for older models). Google: a
# fixed number by resolution; older models 258 a tile, at most 17. xAI: at most 7 tiles of 256.
# A page is a picture and its text, 3,000 tokens at most by Anthropic's guide on PDFs; Google bills
# the picture alone. Pages: 600 at Anthropic, 100 where the window is 200,000; 1,000 at Google; no
# window at OpenAI or xAI holds 1,000.
# Searches: Google's requests cannot bound them. Up to Gemini 2.5 it bills prompts that searched;
# later models' queries, of which 20 are held for: some four to seven are usual. Perplexity's agents
# take ten steps at most.
OPENAI: Final = (100, 100)
BEFORE_4O: Final = {"encoding": "cl100k_base", "image": 1_445, "page": 3_000}
FAMILIES: Final = (
    (r"text-embedding-|gpt-35|gpt-3\.5|gpt-4(-|$)|(davinci|babbage)-002", OPENAI, BEFORE_4O),
    # The first of them had smaller vocabularies still, which are counted nowhere any more.
    (r"(text-|code-)?(davinci|curie|babbage|ada)\b", (300, 50), BEFORE_4O),
    (r"gpt-4o-mini", OPENAI, {"image": 48_169, "small_image": 2_833, "page": 4_000}),
    (r"gpt-4\.1-mini|o4-mini", OPENAI, {"image": 2_642, "page": 4_200}),
    (r"gpt-[\d.]+-(mini|nano)", OPENAI, {"image": 3_779, "page": 5_300}),
    (r"gpt-4o", OPENAI, {"image": 1_445, "small_image": 85, "page": 3_000}),
    (r"gpt-4|o\d", OPENAI, {"image": 1_536, "page": 3_000}),
    (r"gpt-|chatgpt-", OPENAI, {"image": 12_000, "page": 5_000}),
    (r"gemini-[12]", (110, 80), {"image": 4_386, "page": 1_120, "one_search": True}),
    (r"gemini-", (110, 80), {"image": 2_240, "page": 1_120, "searches": 20}),
    (r"grok-", (125, 80), {"image": 1_792, "page": 4_000}),
    (r"sonar", (125, 80), {"image": 16_384, "page": 4_000, "searches": 10}),
)
"""The start of a name, the percents (at most, at least), and the rest."""
NEW: Final = Family(
    percent=175, least=100, image=4_784, page=7_800, most_pages=600, tools=1_000, schema=500
)
OLD: Final = Family(
    percent=125, least=100, image=1_600, page=4_600, most_pages=100, tools=600, schema=500
)
ANY: Final = Family(percent=125, least=80, image=16_384, page=4_000)
"""Of whom nothing is known; the image is the largest of any open model."""


@lru_cache(maxsize=1024)
def family_of(model: str) -> Family:
    """The family of a model by its name in the price data."""
    name = model.rpartition("/")[2].lower().removeprefix("ft:")
    if name.startswith("claude-"):
        found = CLAUDE_VERSION.match(name)
        version = tuple(int(part or 0) for part in found.groups()) if found else (0, 0)
        return NEW if version >= NEW_CLAUDE else OLD
    for pattern, (percent, least), rest in FAMILIES:
        if re.match(pattern, name):
            return Family(percent=percent, least=least, **rest)
    return ANY
