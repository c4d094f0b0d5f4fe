"""The word `quote`."""

import asyncio
from typing import Final

import typer

from cli.errors import Exit, told_plainly
from cli.jobs.choose import check_lane
from cli.local.environment import Surroundings
from cli.output import AsJson, print_json
from cli.quote.report import as_text
from cli.routing.given import PolicyOption, read_policy
from cli.run.options import (
    LaneName,
    MaxTokens,
    ModelName,
    Prompt,
    PromptsFile,
    Rehearse,
    System,
    Temperature,
)
from cli.run.order import Order, checked_lines, line_maker, wish_for
from cli.run.place import connected, place
from cli.run.quote import Quoted, quote_file
from cli.run.requests import Wish
from cli.run.stdin import plain_file
from cli.server.address import KEY_VARIABLE, Asked, find_remote
from cli.server.options import KeyVariable, PlainHttp, Url

EXAMPLES: Final = """
Examples:

  promptmill quote questions.jsonl --prompt "{{question}}"

  promptmill quote reviews.csv --prompt "Sum up: {{text}}" --model gpt-4.1-mini --json

  promptmill quote questions.jsonl --prompt "{{question}}" --rehearse

Nothing is submitted. Exit codes: 0 every line would be taken, 1 some would be refused, 2 usage.
"""

app = typer.Typer()


@app.command(epilog=EXAMPLES)
def quote(  # noqa: PLR0913 - each is an option
    file: PromptsFile,
    *,
    prompt: Prompt = None,
    system: System = None,
    model: ModelName = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    rehearse: Rehearse = False,
    lane: LaneName = "bulk",
    policy: PolicyOption = None,
    url: Url = None,
    key_variable: KeyVariable = KEY_VARIABLE,
    plain_http: PlainHttp = False,
    as_json: AsJson = False,
) -> None:
    """Tell what a file of prompts would cost and how long it would take; nothing is submitted."""
    with told_plainly(), plain_file(file) as readable:
        check_lane(lane)
        wish = Wish(
            prompt=prompt,
            system=system,
            model=model or Surroundings.read().default_model(),
            max_tokens=max_tokens,
            temperature=temperature,
        )
        order = Order(
            file=readable,
            out=readable,
            wish=wish_for(readable, wish),
            rehearse=rehearse,
            lane=lane,
            tries=1,
            restart=False,
            quiet=as_json,
            policy=read_policy(policy),
            server=find_remote(Asked(url=url, key_variable=key_variable, plain_http=plain_http)),
        )
        quoted = asyncio.run(_quoted(order))
        _say(quoted, readable.name, as_json=as_json)
    raise typer.Exit(Exit.SOME_FAILED if quoted.rejected else Exit.OK)


async def _quoted(order: Order) -> Quoted:
    """The quote of a file that need not be free of mistakes."""
    prompts = checked_lines(order.file, order.wish)
    async with (
        place(order.server, rehearse=order.rehearse) as (server, _),
        connected(server) as api,
    ):
        make_line = line_maker(order, prompts.format, "quote")
        return await quote_file(prompts, make_line, api, quiet=order.quiet)


def _say(quoted: Quoted, name: str, *, as_json: bool) -> None:
    if as_json:
        print_json([quoted.as_json()])
        return
    for line in as_text(quoted, name):
        typer.echo(line)
