"""The word `submit`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from cli.errors import InputError, stderr
from cli.jobs.choose import check_lane
from cli.jobs.ending import end_of_answer, streamed, waited, watch_sum
from cli.jobs.submit import Submission, read_prompt, submit_file, submit_prompt
from cli.jobs.told import Webhook, told
from cli.local.environment import Surroundings
from cli.output import AsJson, print_json
from cli.routing.given import PolicyOption, read_policy, with_max_cost
from cli.run.labels import Labels, labelled
from cli.run.options import (
    JobMaxCost,
    LaneName,
    MaxTokens,
    ModelName,
    OnePrompt,
    Prompt,
    Rehearse,
    System,
    Temperature,
)
from cli.run.requests import Wish
from cli.run.stdin import plain_file
from cli.server.address import Server
from cli.server.options import on_a_server, talk

SUBMIT_EXAMPLES: Final = """
Examples:

  promptmill submit "Why is the sky blue?" --wait

  promptmill submit --file questions.csv --prompt "{{question}}" --batch tuesday

  promptmill submit "Tell me a story." --lane interactive --stream

  promptmill submit "Tell me a long story." --max-tokens 4000 --max-cost 0.02

  promptmill submit "Why?" --webhook-url https://hooks.example.com/jobs

  git diff | promptmill submit --system "Review this diff." --lane interactive --wait

Exit codes: 0 accepted (with --wait or --stream: answered), 1 no answer, 2 refused, 130 interrupted.
"""
FileOption = Annotated[
    Path | None, typer.Option("--file", help="A file of prompts, as `run` takes it.")
]
Batch = Annotated[str | None, typer.Option("--batch", help="A label that jobs share.")]
IdempotencyKey = Annotated[
    str | None,
    typer.Option("--idempotency-key", help="The same key is the same job, ever so often sent."),
]
Stream = Annotated[bool, typer.Option("--stream", help="Print the answer while it comes.")]

app = typer.Typer()


@app.command(epilog=SUBMIT_EXAMPLES)
@on_a_server
@labelled
@told
def submit(  # noqa: PLR0913 - each is an option
    server: Server,
    text: OnePrompt = None,
    *,
    file: FileOption = None,
    prompt: Prompt = None,
    system: System = None,
    model: ModelName = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    lane: LaneName = "standard",
    batch: Batch = None,
    idempotency_key: IdempotencyKey = None,
    policy: PolicyOption = None,
    max_cost: JobMaxCost = None,
    rehearse: Rehearse = False,
    wait: Annotated[bool, typer.Option("--wait", help="Print the answer.")] = False,
    stream: Stream = False,
    as_json: AsJson = False,
    labels: Labels,
    webhook: Webhook,
) -> None:
    """Submit one prompt, or a file of them; the jobs go on without this command."""
    check_lane(lane)
    _one_source(text, file, prompt, stream=stream)
    wish = Wish(
        prompt=prompt if file else read_prompt(text),
        system=system,
        model=model or Surroundings.read().default_model(),
        max_tokens=max_tokens,
        temperature=temperature,
    )
    submission = Submission(
        wish=wish, lane=lane, rehearse=rehearse, batch=batch, stream=stream,
        idempotency_key=idempotency_key, labels=labels, webhook=webhook,
        policy=with_max_cost(read_policy(policy), max_cost),
    )  # fmt: skip
    if file is None:
        _submit_one(server, submission, wait=wait, as_json=as_json)
    else:
        _submit_file(server, file, submission, wait=wait, as_json=as_json)


def _one_source(text: str | None, file: Path | None, prompt: str | None, *, stream: bool) -> None:
    if stream and file is not None:
        raise InputError("--stream goes with one prompt, not with a --file")
    if file is not None and text is not None:
        raise InputError("give a prompt or a --file, not both")
    if file is None and prompt is not None:
        raise InputError("--prompt goes with --file; one prompt is the argument itself")


def _submit_one(server: Server, submission: Submission, *, wait: bool, as_json: bool) -> None:
    job = talk(server, lambda api: submit_prompt(api, submission))
    if wait or submission.stream:
        stderr.print(f"{job['id']} {job['state']}", markup=False)
    if submission.stream:
        streamed(server, job["id"], as_json=as_json)
    elif wait:
        end_of_answer(waited(server, job["id"]), as_json=as_json)
    elif as_json:
        print_json([job])
    else:
        typer.echo(f"{job['id']}  {server.url}{job['status_url']}")


def _submit_file(
    server: Server, file: Path, submission: Submission, *, wait: bool, as_json: bool
) -> None:
    with plain_file(file) as readable:
        batch, ids = talk(server, lambda api: submit_file(api, readable, submission), patience=0.0)
    if as_json:
        print_json({"id": job_id, "batch": batch} for job_id in ids)
    else:
        for job_id in ids:
            typer.echo(job_id)
        stderr.print(f"{len(ids)} jobs accepted as --batch {batch}", markup=False)
    if wait:
        watch_sum(server, batch, as_json=as_json)
