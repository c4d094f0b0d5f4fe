"""The word `tokens`."""

from typing import Annotated, Any, Final

import typer

from cli.errors import InputError
from cli.jobs.choose import complete_model
from cli.jobs.show import table
from cli.jobs.submit import read_prompt
from cli.local.environment import Surroundings
from cli.output import AsJson, print_json
from cli.run.options import System
from cli.run.order import request_of
from cli.run.reader import Format
from cli.run.requests import Wish
from cli.server.address import Server
from cli.server.options import on_a_server, talk

PATH: Final = "/api/v1/tokens"
EXAMPLES: Final = """
Examples:

  promptmill tokens "Why is the sky blue?" --model gpt-4.1-mini --model claude-haiku-4-5

  promptmill tokens --accuracy --days 7

Nobody is called.
"""
COUNTED: Final = ("MODEL", "INPUT", "SURELY", "COUNT", "WINDOW", "LEFT")
ACCURACY: Final = ("DEPLOYMENT", "ANSWERS", "COUNTED", "BILLED", "BIAS", "MEAN", "P95", "TOO FEW")
Text = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="The prompt; stdin where absent.")
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Repeat it; AI_DEFAULT_MODEL where absent.",
        autocompletion=complete_model,
    ),
]
Days = Annotated[int | None, typer.Option("--days", min=1, max=365, help="How far it looks back.")]

app = typer.Typer()


@app.command(epilog=EXAMPLES)
@on_a_server
def tokens(  # noqa: PLR0913 - each is an option
    server: Server,
    text: Text = None,
    *,
    system: System = None,
    model: Models = None,
    accuracy: Annotated[
        bool, typer.Option("--accuracy", help="How well past calls were counted.")
    ] = False,
    days: Days = None,
    as_json: AsJson = False,
) -> None:
    """Count a prompt's tokens for models, or tell how well past calls were counted."""
    if accuracy and (text, system, model) != (None, None, None):
        raise InputError("--accuracy: give no prompt, --system or --model with it")
    if days is not None and not accuracy:
        raise InputError("--days: it goes with --accuracy")
    found = _accuracy(server, days) if accuracy else _count(server, text, system, model)
    if as_json:
        print_json(found)
        return
    rows, header = (map(_measured, found), ACCURACY) if accuracy else (map(_row, found), COUNTED)
    for line in table(rows, header):
        typer.echo(line)


def _accuracy(server: Server, days: int | None) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = talk(server, lambda api: api.get(f"{PATH}/accuracy", days=days))[
        "data"
    ]
    return data


def _count(
    server: Server, text: str | None, system: str | None, models: list[str] | None
) -> list[dict[str, Any]]:
    named = models or [Surroundings.read().default_model()]
    wish = Wish(
        prompt=read_prompt(text), system=system, model=named[0], max_tokens=None, temperature=None
    )
    body = {"request": request_of({}, Format.COLUMNS, wish), "models": named}
    data: list[dict[str, Any]] = talk(server, lambda api: api.post(PATH, body))["data"]
    return data


def _row(counted: dict[str, Any]) -> tuple[str, ...]:
    names = ("model", "input_tokens", "least_input_tokens", "counted", "context_window",
             "context_left")  # fmt: skip
    return tuple(str(counted[name]) for name in names)


def _measured(each: dict[str, Any]) -> tuple[str, ...]:
    sums = (str(each[name]) for name in ("deployment", "answers", "counted_tokens",
                                         "billed_tokens"))  # fmt: skip
    errors = (f"{each[name] * 100:.2f} %" for name in ("mean_error", "p95_error"))
    return (*sums, f"{each['bias'] * 100:+.2f} %", *errors, str(each["too_few"]))
