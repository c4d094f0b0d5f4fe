"""The options of whoever makes requests out of prompts."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from cli.amounts import read_usd
from cli.jobs.choose import complete_model

OnePrompt = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="The prompt; stdin where absent.")
]
Prompt = Annotated[
    str | None, typer.Option("--prompt", help='The prompt, with "{{column}}" for its value.')
]
System = Annotated[str | None, typer.Option("--system", help="A system message, likewise.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="AI_DEFAULT_MODEL where absent.", autocompletion=complete_model),
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", min=1, help="The most output tokens.")
]
Temperature = Annotated[float | None, typer.Option("--temperature", min=0, max=2)]
Rehearse = Annotated[bool, typer.Option("--rehearse", help="Use the simulator: no key, no money.")]
LaneName = Annotated[str, typer.Option("--lane", help="bulk, standard or interactive.")]
Tries = Annotated[int, typer.Option("--tries", min=1, max=20, help="Calls per prompt.")]
Restart = Annotated[bool, typer.Option("--restart", help="Run it anew.")]
MaxCost = Annotated[
    Decimal | None,
    typer.Option(
        "--max-cost",
        metavar="USD",
        parser=read_usd,
        help="The most that its calls may cost together; what does not fit fails.",
    ),
]
JobMaxCost = Annotated[
    Decimal | None,
    typer.Option(
        "--max-cost",
        metavar="USD",
        parser=read_usd,
        help="The most that all calls of one job may cost; max_cost_usd of its policy.",
    ),
]
ConfirmAbove = Annotated[
    Decimal | None,
    typer.Option(
        "--confirm-above",
        metavar="USD",
        parser=read_usd,
        help="Ask before a run that may cost more; refuse it where nobody can be asked.",
    ),
]
ReceiptPlace = Annotated[
    str | None,
    typer.Option(
        "--receipt",
        metavar="PATH",
        help="artifacts/costs/RUN.jsonl beside the answers where absent; or .csv; or none.",
    ),
]
PromptsFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="JSONL, CSV or TSV with columns, a prompt a line in .txt, or OpenAI batch JSONL; "
        "gzip too; - is JSONL from stdin.",
    ),
]
AnswersFile = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="FILE.answers.jsonl where absent; or .csv, .tsv."),
]
