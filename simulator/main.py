"""The command `python -m simulator`: providers that bill nobody."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import uvloop
from pydantic import ValidationError

from simulator.answers import Oracle, Spread
from simulator.company import Company
from simulator.faults import Script
from simulator.ledger import Ledger
from simulator.limits import Limits
from simulator.prices import PRICED_AS
from simulator.server import serve
from simulator.strict import Strict, sentence

EXAMPLES: Final = """examples:
  python -m simulator                                  any free port, no limits
  python -m simulator --rpm 500 --tpm 200000           a strict quota per 60 s window
  python -m simulator --rpm 50 --window 3              50 requests per 3 s window
  python -m simulator --ledger bill.jsonl --seed 7     what it would bill, repeatable
  python -m simulator --script faults.json             misbehave on purpose

base URLs, under the address that it tells:
  openai      /v1                  chat/completions, responses, embeddings, completions
  azure       /azure/openai/v1     and classic: AsyncAzureOpenAI(azure_endpoint="URL/azure")
  anthropic   /anthropic           v1/messages, v1/messages/count_tokens
  gemini      /gemini              v1 and v1beta: generateContent, streamGenerateContent,
                                   batchEmbedContents, countTokens
  (the same)  /vertex              v1beta1/projects/…: both generate, under any token
  xai         /xai/v1              chat/completions
  perplexity  /perplexity/v1       responses
  compatible  /compatible/v1       chat/completions, embeddings; errors are words, max_tokens only
each is an account with the same limits, counted as that provider counts; one ledger for all:
openai, azure, compatible: input and max_tokens; xai too, mostly with --rps
anthropic: input that is not cached, on arrival; output as it is written (--output-tpm)
gemini: input alone; a day (--rpd) ends at midnight in California, elsewhere it is 24 hours

a request with tools is answered by a call, two if the prompt says [parallel]; one with a
schema by JSON of it; long prompts are cached; prompts may name the tool to be called

a script is a list of rules; the first that strikes decides:
  [{"match": {"contains": "tea", "nth": [1, 2]}, "do": {"status": 429, "retry_after": 2}},
   {"probability": 0.01, "do": {"reset": "after"}}]
matches:  contains, model, provider, client_request_id, nth; beside them: probability, times
actions:  status (with type, code, message, retry_after), stall, hang, reset (before or after),
          truncate, garbage, error_200, no_usage, content, finish_reason, refusal, block_reason,
          cut, stream_error, slow_bytes

while it runs:
  GET  /_sim/stats     counters, of all accounts and of each
  POST /_sim/script    replace the script
  POST /_sim/limits    {"rpm": 100, "tpm": 0, "output_tpm": 0, "rps": 0, "rpd": 0,
                       "concurrency": 0, "window": 60, "short_windows": [1, 10], "ramp": 0,
                       "ramp_seconds": 900, "failed_count": false}, any of them; with "provider"
                       of that one alone
  POST /_sim/reset     forget counters, script, caches and what the windows hold"""
Model = TypeVar("Model", bound=Strict)


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        _refuse(message)


def main() -> None:
    """Parse the options, serve until told to stop."""
    options = _parser().parse_args()
    try:
        company = _company(options)
        uvloop.run(serve(company, options.host, options.port, options.ready_file))
    except ValueError as error:
        _refuse(str(error))
    except OSError as error:
        place = error.filename or f"--host {options.host} --port {options.port}"
        _refuse(f"{place}: {error.strerror or error}")


def _refuse(message: str) -> NoReturn:
    sys.stderr.write(f"simulator: {message}\n")
    raise SystemExit(2) from None


def _parser() -> Parser:
    parser = Parser(
        prog="python -m simulator",
        description="A stand-in for providers: the same wires, strict limits, no money.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0: any free one")
    add("--ready-file", type=Path, help="gets the URL once the port listens")
    add("--ledger", type=Path, help="JSONL of what would be billed, on disk before each reply")
    add("--seed", type=int, default=0)
    _add_limits(parser)
    add("--latency-ms", default=300.0, help="the mean")
    add("--latency-spread", default=0.3, help="part of the latency, 0 to 1")
    add("--output-tokens", default="20-200", metavar="LO-HI")
    add("--script", type=Path, help="JSON list of rules for misbehaviour, see below")
    add("--api-key", help="the only key that is accepted; any, where absent")
    add(
        "--model",
        action="append",
        default=[],
        metavar="NAME=IN,CACHED,OUT",
        help="one more model of every provider, in USD per million tokens",
    )
    return parser


def _add_limits(parser: Parser) -> None:
    """What the accounts may do: the fields of Limits."""
    add = parser.add_argument
    add("--rpm", default=0, help="requests per window and provider; 0: no limit")
    add("--tpm", default=0, help="tokens per window and provider; 0: no limit")
    add("--output-tpm", default=0, help="output tokens per window, as produced; 0: no limit")
    add("--rps", default=0, help="requests per second; 0: no limit")
    add("--rpd", default=0, help="requests per day; 0: no limit")
    add("--concurrency", default=0, help="requests at once; 0: no limit")
    add("--window", default=60.0, help="seconds")
    add(
        "--short-windows",
        default=(),
        metavar="SECONDS+…",
        help="each of these has its part of --rpm, as at Azure 1+10",
    )
    add("--ramp", default=0, help="tokens per window above which use may grow by a half at a time")
    add("--ramp-seconds", default=900.0, help="how long that time is")
    add("--failed-count", action="store_true", help="what is refused counts as a request")
    add(
        "--account",
        action="append",
        default=[],
        metavar="PROVIDER:NAME=VALUE,…",
        help="other limits of one provider, such as anthropic:rpm=50,output_tpm=8000",
    )


def _company(options: argparse.Namespace) -> Company:
    """Raises ValueError or OSError that names the option or the file."""
    if not 0 <= options.port < 65_536:
        raise ValueError(f"--port {options.port}: write 0 to 65535")
    low, dash, high = options.output_tokens.partition("-")
    if not (dash and low.isdigit() and high.isdigit() and 0 < int(low) <= int(high)):
        raise ValueError(f"--output-tokens {options.output_tokens}: write LO-HI, such as 20-200")
    spread = _checked(
        Spread,
        latency_ms=options.latency_ms,
        latency_spread=options.latency_spread,
        fewest_tokens=low,
        most_tokens=high,
    )
    limits = _checked(Limits, **{name: getattr(options, name) for name in Limits.model_fields})
    return Company(
        oracle=Oracle(options.seed, spread),
        ledger=Ledger(options.ledger),
        script=_script(options.script, options.seed),
        limits=limits,
        limits_of=dict(_account(limits, each) for each in options.account),
        api_key=options.api_key,
        overrides=options.model,
    )


def _account(limits: Limits, option: str) -> tuple[str, Limits]:
    """A provider and its own limits, laid over those of all. Raises ValueError."""
    provider, _, settings = option.partition(":")
    if provider not in PRICED_AS:
        raise ValueError(f"--account {option}: the providers are {', '.join(PRICED_AS)}")
    changes = dict(each.partition("=")[::2] for each in settings.split(","))
    try:
        return provider, Limits.model_validate({**limits.model_dump(), **changes})
    except ValidationError as error:
        raise ValueError(f"--account {option}: {sentence(error)}") from None


def _checked(model: type[Model], **values: Any) -> Model:
    """The values as the model wants them. Raises ValueError that names the option."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError("--" + sentence(error).replace("_", "-")) from None


def _script(path: Path | None, seed: int) -> Script:
    script = Script(seed)
    if path is not None:
        try:
            script.load(json.loads(path.read_text("utf-8")))
        except ValidationError as error:
            raise ValueError(f"--script {path}: {sentence(error)}") from None
        except ValueError as error:
            raise ValueError(f"--script {path}: {error}") from None
    return script
