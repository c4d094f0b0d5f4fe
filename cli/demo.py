"""`promptmill demo`: the whole mill on the example prompts, without a key."""

import os
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Final

import orjson
import typer

from cli.errors import Exit
from cli.output import print_json
from cli.run import command, report
from cli.run.order import Order
from cli.run.requests import OURS, Wish
from cli.stack.options import ROOT_HOME

PROMPTS: Final = Path("examples/prompts.jsonl")
PROMPT: Final = "Answer in one short sentence, for a {{reader}}: {{question}}"
ANSWERS: Final = Path("demo-answers.jsonl")
SAMPLE_STEP: Final = 40
"""Of 120 answers, three of different questions are shown."""
SAMPLE_WIDTH: Final = 100


def show(*, as_json: bool) -> Exit:
    """Run the demo in a home of this checkout's own; always a fresh run."""
    os.environ.setdefault("PROMPTMILL_HOME", str(_home()))
    if not as_json:
        typer.echo(f"demo: {PROMPTS} through API, queue, workers and simulator; no key, no money")
        typer.echo(f'prompt: "{PROMPT}"')
    wish = Wish(prompt=PROMPT, system=None, model="gpt-4.1-mini", max_tokens=200, temperature=None)
    done = command.execute(
        Order(
            file=PROMPTS,
            out=ANSWERS,
            wish=wish,
            rehearse=True,
            lane="bulk",
            tries=5,
            restart=True,
            quiet=as_json,
        )
    )
    if as_json:
        print_json([report.as_json(done)])
    else:
        _show_samples()
        for line in report.as_text(done):
            typer.echo(line)
    return Exit.SOME_FAILED if done.written.failed else Exit.OK


def _home() -> Path:
    """A folder that no other checkout and no real installation uses."""
    here = Path.cwd()
    if os.geteuid() == 0:
        return ROOT_HOME / f"demo-{sha256(os.fsencode(here)).hexdigest()[:12]}"
    return here / ".promptmill"


def _show_samples() -> None:
    with ANSWERS.open("rb") as answers:
        for line in islice(answers, 0, None, SAMPLE_STEP):
            row = orjson.loads(line)
            content = str(row[OURS]["content"])
            typer.echo(f"\n  {row['question']}\n  → {content[:SAMPLE_WIDTH]}…")
    typer.echo("")
