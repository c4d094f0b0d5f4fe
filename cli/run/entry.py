"""The words `run` and `demo`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from cli import demo as demonstration
from cli.errors import Exit, stderr, told_plainly
from cli.local.environment import Surroundings
from cli.run import command, report
from cli.run.requests import Wish

RUN_EXAMPLES: Final = """
Examples:

  promptmill run questions.jsonl --prompt "{{question}}" --rehearse

  promptmill run reviews.jsonl --prompt "Sum up: {{text}}" --model gpt-4.1-mini -o sums.jsonl

  promptmill run openai-batch.jsonl -o answers.jsonl

Exit codes: 0 all answered, 1 some failed, 2 input or usage, 130 interrupted.
"""

app = typer.Typer()


@app.command(epilog=RUN_EXAMPLES)
def run(  # noqa: PLR0913 - each is an option
    file: Annotated[Path, typer.Argument(help="JSONL with columns, or OpenAI batch JSONL.")],
    *,
    prompt: Annotated[
        str | None, typer.Option(help='The prompt, with "{{column}}" for a column\'s value.')
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system message, likewise.")] = None,
    model: Annotated[str | None, typer.Option(help="AI_DEFAULT_MODEL where absent.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The most output tokens.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2)] = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Use the simulator: no key, no money.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="FILE.answers.jsonl where absent.")
    ] = None,
    tries: Annotated[int, typer.Option(min=1, max=20, help="Calls per prompt.")] = 5,
    lane: Annotated[str, typer.Option(help="bulk, standard or interactive.")] = "bulk",
    restart: Annotated[bool, typer.Option("--restart", help="Run it anew.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Answer every prompt of a file, also with no stack running; repeat it to resume."""
    with told_plainly():
        wish = Wish(
            prompt=prompt,
            system=system,
            model=model or Surroundings.read().default_model(),
            max_tokens=max_tokens,
            temperature=temperature,
        )
        order = command.Order(
            file=file,
            out=out or file.parent / f"{file.stem}.answers.jsonl",
            wish=wish,
            rehearse=rehearse,
            lane=_lane(lane),
            tries=tries,
            restart=restart,
            quiet=as_json,
        )
        _finish(order, as_json=as_json)


@app.command()
def demo() -> None:
    """Answer the example prompts on a local stack, without a key."""
    with told_plainly():
        raise typer.Exit(demonstration.show())


def _finish(order: command.Order, *, as_json: bool) -> None:
    """Run the order, say how it went, and set the exit code."""
    try:
        done = command.execute(order)
    except KeyboardInterrupt:
        stderr.print(f"\npromptmill: {command.interrupted_note(order)}", markup=False)
        raise typer.Exit(Exit.INTERRUPTED) from None
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(done)) + "\n")
    else:
        for line in report.as_text(done):
            typer.echo(line)
    raise typer.Exit(Exit.SOME_FAILED if done.written.failed else Exit.OK)


def _lane(name: str) -> str:
    lanes = ("bulk", "standard", "interactive")
    if name not in lanes:
        message = f"--lane {name}: choose one of {', '.join(lanes)}"
        raise typer.BadParameter(message)
    return name
