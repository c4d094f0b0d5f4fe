"""The command's way from a file to committed jobs: `python -m bench.submitter FILE URL`.

The key is in PROMPTMILL_API_KEY. Prints a JSON object: seconds of each step, peak bytes.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from bench.processes import peak_memory
from cli import client
from cli.run.reader import PromptFile, read_file
from cli.run.requests import Row, Wish, checked, from_columns
from cli.run.submit import submit
from shared.catalog.load import load_catalog
from tests.mill import MAX_TOKENS, MODEL

WISH = Wish(prompt=None, system=None, model=MODEL, max_tokens=MAX_TOKENS, temperature=None)


def main() -> None:
    """Read, check and submit, as `promptmill run` does."""
    path, url = Path(sys.argv[1]), sys.argv[2]
    catalog = load_catalog()
    began = monotonic()
    prompts = read_file(path, lambda row, _: checked(from_columns(row, WISH), catalog))
    read = monotonic()
    asyncio.run(_submit(prompts, url))
    ended = monotonic()
    peak = peak_memory(os.getpid())
    sys.stdout.write(json.dumps({"read": read - began, "submit": ended - read, "peak": peak}))


async def _submit(prompts: PromptFile, url: str) -> None:
    def line(row: Row, number: int) -> dict[str, Any]:
        return {
            "request": from_columns(row, WISH),
            "lane": "bulk",
            "batch": "run_bench",
            "rehearse": True,
            "metadata": {"line": str(number)},
            "idempotency_key": f"run_bench:{number}",
        }

    async with client.connect(url, os.environ["PROMPTMILL_API_KEY"]) as api:
        await submit(prompts, line, api)


if __name__ == "__main__":
    main()
