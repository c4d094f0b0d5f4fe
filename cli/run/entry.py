"""The words `run` and `demo`."""

from typing import Final

import typer

from cli import demo as demonstration
from cli.errors import Exit, stderr, told_plainly
from cli.jobs.choose import check_lane
from cli.output import AsJson, print_json
from cli.routing.given import PolicyOption, read_policy
from cli.run import command, report
from cli.run.labels import Labels, labelled
from cli.run.options import (
    AnswersFile,
    ConfirmAbove,
    LaneName,
    MaxCost,
    PromptsFile,
    ReceiptPlace,
    Rehearse,
    Restart,
    Tries,
)
from cli.run.order import Order
from cli.run.requests import Wish
from cli.run.stdin import default_out, plain_file
from cli.run.wished import wished
from cli.server.address import Server
from cli.server.options import on_any_server
from shared.domain.money import to_nano

RUN_EXAMPLES: Final = """
Examples:

  promptmill run questions.jsonl --prompt "{{question}}" --rehearse

  promptmill run reviews.jsonl --prompt "Sum up: {{text}}" --model gpt-4.1-mini -o sums.jsonl

  promptmill run customers.csv --prompt "Greet {{name}}" -o greetings.csv

  promptmill run customers.csv --prompt "Greet {{name}}" --confirm-above 5

  promptmill run customers.csv --prompt "Greet {{name}}" --max-cost 2.50 --project sales

  promptmill run reviews.jsonl --prompt "Sum up: {{text}}" --policy policy.json

  promptmill run openai-batch.jsonl -o answers.jsonl

  zcat logs.jsonl.gz | promptmill run - --prompt "Explain: {{line}}" -o answers.jsonl

Exit codes: 0 all answered, 1 some failed, 2 input or usage, 130 interrupted.
"""

app = typer.Typer()


@app.command(epilog=RUN_EXAMPLES)
@on_any_server
@wished
@labelled
def run(  # noqa: PLR0913 - each is an option
    server: Server | None,
    file: PromptsFile,
    *,
    wish: Wish,
    labels: Labels,
    rehearse: Rehearse = False,
    out: AnswersFile = None,
    tries: Tries = 5,
    lane: LaneName = "bulk",
    restart: Restart = False,
    max_cost: MaxCost = None,
    confirm_above: ConfirmAbove = None,
    receipt: ReceiptPlace = None,
    policy: PolicyOption = None,
    as_json: AsJson = False,
) -> None:
    """Answer every prompt of a file, also with no stack running; repeat it to resume."""
    with plain_file(file) as readable:
        check_lane(lane)
        order = Order(
            file=readable,
            out=out or default_out(file),
            wish=wish,
            rehearse=rehearse,
            lane=lane,
            tries=tries,
            restart=restart,
            quiet=as_json,
            labels=labels,
            max_cost=max_cost,
            confirm_above=None if confirm_above is None else to_nano(confirm_above),
            receipt=receipt,
            policy=read_policy(policy),
            server=server,
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
