"""The word `receipt`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from cli.errors import InputError, stderr
from cli.jobs.choose import BatchOption, JobId
from cli.jobs.ending import OUTAGE_SECONDS
from cli.output import AsJson, print_json
from cli.receipts.save import of_batch, of_job, save
from cli.run.sheet import is_sheet
from cli.server.address import Server
from cli.server.options import on_a_server, talk

EXAMPLES: Final = """
Examples:

  promptmill receipt job_06gvp37aldqhh801vvaql8icro

  promptmill receipt --batch tuesday --csv -o tuesday.csv
"""

app = typer.Typer()


@app.command(epilog=EXAMPLES)
@on_a_server
def receipt(
    server: Server,
    job: JobId = "",
    *,
    batch: BatchOption = None,
    csv: Annotated[bool, typer.Option("--csv", help="A table; else JSON lines.")] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="A file; stdout if absent.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write what each call of a job or a batch cost, and by which price; their sum comes last."""
    if bool(job) == (batch is not None):
        raise InputError("say whose receipt: a job's ID, or --batch LABEL")
    path = of_batch(batch) if batch is not None else of_job(job)
    table = csv or (out is not None and is_sheet(out))
    number = talk(server, lambda api: save(api, path, out, table=table), patience=OUTAGE_SECONDS)
    if as_json:
        print_json([{"attempts": number, "out": str(out) if out else None}])
    else:
        stderr.print(f"{number} attempts" + (f" in {out}" if out else ""), markup=False)
