"""The words `explain` and `routes`."""

from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from cli.errors import InputError
from cli.jobs.show import table
from cli.jobs.submit import read_prompt
from cli.local.environment import Surroundings
from cli.output import AsJson, print_json
from cli.routing.given import PolicyOption, read_job, read_policy
from cli.routing.show import plan_lines
from cli.run.options import MaxTokens, ModelName, OnePrompt, Rehearse, System, Temperature
from cli.run.order import request_of
from cli.run.reader import Format
from cli.run.requests import Wish
from cli.server.address import Server
from cli.server.options import on_a_server, talk

PATH: Final = "/api/v1/explain"
ROUTES: Final = "/api/v1/routes"
EXAMPLES: Final = """
Examples:

  promptmill explain "Prove that there is no largest prime." --model smart

  promptmill explain "Hello" --policy '{"candidates": ["gpt-4.1-mini", "claude-haiku-4-5"]}'

  promptmill explain --file job.json --json

Nobody is called and nothing is stored. Exit codes: 0 there is a plan, 2 the job would be refused.
"""
JobFile = Annotated[
    Path | None,
    typer.Option("--file", help="A job as POST /api/v1/jobs takes it, in JSON; - is stdin."),
]

app = typer.Typer()


@app.command(epilog=EXAMPLES)
@on_a_server
def explain(  # noqa: PLR0913 - each is an option
    server: Server,
    text: OnePrompt = None,
    *,
    file: JobFile = None,
    system: System = None,
    model: ModelName = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    policy: PolicyOption = None,
    rehearse: Rehearse = False,
    as_json: AsJson = False,
) -> None:
    """Tell who would be asked for a job, in which order, why, and at what cost."""
    named = (text, system, model, max_tokens, temperature, policy)
    if file is not None:
        if any(each is not None for each in named) or rehearse:
            raise InputError("--file is the whole job: give no prompt and no other option with it")
        job = read_job(file)
    else:
        wish = Wish(
            prompt=read_prompt(text),
            system=system,
            model=model or Surroundings.read().default_model(),
            max_tokens=max_tokens,
            temperature=temperature,
        )
        job = _job(wish, read_policy(policy), rehearse=rehearse)
    plan = talk(server, lambda api: api.post(PATH, job))
    if as_json:
        print_json([plan])
        return
    for line in plan_lines(plan):
        typer.echo(line)


@app.command(epilog="Examples:\n\n  promptmill routes\n\n  promptmill routes --json")
@on_a_server
def routes(server: Server, *, as_json: AsJson = False) -> None:
    """List the routes that a job can name in place of a model, with their policies."""
    found = talk(server, lambda api: api.get(ROUTES))["data"]
    if as_json:
        print_json(found)
        return
    rows = ((each["id"], orjson.dumps(each["policy"]).decode()) for each in found)
    for line in table(rows, ("ROUTE", "POLICY")):
        typer.echo(line)


def _job(wish: Wish, policy: dict[str, Any] | None, *, rehearse: bool) -> dict[str, Any]:
    job = {"request": request_of({}, Format.COLUMNS, wish), "rehearse": rehearse}
    return {**job, "policy": policy} if policy is not None else job
