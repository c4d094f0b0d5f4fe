"""The words `run` and `demo`."""

from typing import Final

import typer

from cli import demo as demonstration
from cli.errors import Exit, stderr, told_plainly
from cli.jobs.choose import check_lane
from cli.local.environment import Surroundings
from cli.output import AsJson, print_json
from cli.run import command, report
from cli.run.options import (
    AnswersFile,
    LaneName,
    MaxTokens,
    ModelName,
    Prompt,
    PromptsFile,
    Rehearse,
    Restart,
    System,
    Temperature,
    Tries,
)
from cli.run.order import Order
from cli.run.requests import Wish
from cli.run.stdin import default_out, plain_file
from cli.server.address import KEY_VARIABLE, Asked, find_remote
from cli.server.options import KeyVariable, PlainHttp, Url

RUN_EXAMPLES: Final = """
Examples:

  promptmill run questions.jsonl --prompt "{{question}}" --rehearse

  promptmill run reviews.jsonl --prompt "Sum up: {{text}}" --model gpt-4.1-mini -o sums.jsonl

  promptmill run customers.csv --prompt "Greet {{name}}" -o greetings.csv

  promptmill run openai-batch.jsonl -o answers.jsonl

  zcat logs.jsonl.gz | promptmill run - --prompt "Explain: {{line}}" -o answers.jsonl

Exit codes: 0 all answered, 1 some failed, 2 input or usage, 130 interrupted.
"""

app = typer.Typer()


@app.command(epilog=RUN_EXAMPLES)
def run(  # noqa: PLR0913 - each is an option
    file: PromptsFile,
    *,
    prompt: Prompt = None,
    system: System = None,
    model: ModelName = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    rehearse: Rehearse = False,
    out: AnswersFile = None,
    tries: Tries = 5,
    lane: LaneName = "bulk",
    restart: Restart = False,
    url: Url = None,
    key_variable: KeyVariable = KEY_VARIABLE,
    plain_http: PlainHttp = False,
    as_json: AsJson = False,
) -> None:
    """Answer every prompt of a file, also with no stack running; repeat it to resume."""
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
            out=out or default_out(file),
            wish=wish,
            rehearse=rehearse,
            lane=lane,
            tries=tries,
            restart=restart,
            quiet=as_json,
            server=find_remote(Asked(url=url, key_variable=key_variable, plain_http=plain_http)),
        )
        _finish(order, as_json=as_json)


@app.command(epilog="Examples:\n\n  promptmill demo")
def demo(*, as_json: AsJson = False) -> None:
    """Answer the example prompts on a local stack, without a key."""
    with told_plainly():
        raise typer.Exit(demonstration.show(as_json=as_json))


def _finish(order: Order, *, as_json: bool) -> None:
    """Run the order, say how it went, and set the exit code."""
    try:
        done = command.execute(order)
    except KeyboardInterrupt:
        stderr.print(f"\npromptmill: {command.interrupted_note(order)}", markup=False)
        raise typer.Exit(Exit.INTERRUPTED) from None
    if as_json:
        print_json([report.as_json(done)])
    else:
        for line in report.as_text(done):
            typer.echo(line)
    raise typer.Exit(Exit.SOME_FAILED if done.written.failed else Exit.OK)
