"""Which rules are held against the mill: of each provider, and by what binds."""

from typing import Final

from tests.quota.rules import Rule

OPENAI, AZURE, BOTH = "gpt-6-luna", "gpt-4o-mini", "gpt-4.1-mini"
"""Of OpenAI alone, of Azure alone, of both."""
CLAUDE, GEMINI, GROK = "claude-haiku-4-5", "gemini-2.5-flash", "grok-4-fast-non-reasoning"
INPUT: Final = 60 * 103
"""What sixty questions have, as the provider counts them."""
TOKENS: Final = INPUT + 60 * 20
"""The same with what they may be answered."""
REQUESTS_BIND: Final = (
    Rule(account="openai", model=OPENAI, limits={"requests": 60}),
    Rule(account="azure", model=AZURE, limits={"requests": 60}, short_windows=(1.0,)),
    Rule(account="anthropic", model=CLAUDE, limits={"requests": 60}),
    Rule(account="gemini", model=GEMINI, limits={"requests": 60, "requests_per_day": 60_000}),
    Rule(account="xai", model=GROK, limits={"requests_per_second": 20}),
)
TOKENS_BIND: Final = (
    Rule(account="openai", model=OPENAI, limits={"tokens": TOKENS}),
    Rule(account="azure", model=AZURE, limits={"tokens": TOKENS}),
    Rule(account="anthropic", model=CLAUDE, limits={"input_tokens": INPUT}),
    Rule(account="gemini", model=GEMINI, limits={"tokens": INPUT}),
    Rule(account="xai", model=GROK, limits={"tokens": TOKENS, "requests_per_second": 60}),
)
OTHERWISE_BIND: Final = (
    Rule(account="anthropic", model=CLAUDE, limits={"output_tokens": 3000}, max_tokens=(400,)),
    Rule(account="xai", model=GROK, limits={"requests": 60, "tokens": TOKENS}, max_tokens=(10, 30)),
    # Two deployments of one model: their quotas add up.
    Rule(account="openai", model=BOTH, limits={"requests": 60}),
    Rule(account="azure", model=BOTH, limits={"tokens": TOKENS}),
)
CALLS_BIND: Final = (
    # A server of one's own, alone with its model, answers so many at a time, each as slowly as a
    # model writes.
    Rule(account="compatible", model=OPENAI, limits={"concurrency": 60}, stall=2.7),
)
