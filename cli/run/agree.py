"""The quote before a run: told, noted, and agreed to where it is a lot."""

import asyncio
import sys
from typing import Final

from cli.client import Client, RefusedError
from cli.errors import InputError, stderr
from cli.run.order import Order
from cli.run.quote import Quoted, quote_file
from cli.run.reader import PromptFile, told
from cli.run.sidecar import QuoteNote, Sidecar, save
from cli.run.submit import MakeLine
from shared.domain.money import show_usd

NOT_FOUND: Final = 404
YES: Final = frozenset({"y", "yes"})


async def agreed(
    order: Order, prompts: PromptFile, sidecar: Sidecar, make_line: MakeLine, api: Client
) -> Sidecar:
    """The run's note with its quote; one that has it already was agreed to.

    Raises InputError for lines that would be refused, and for what nobody agrees to.
    """
    if sidecar.quote is not None:
        return sidecar
    try:
        quoted = await quote_file(prompts, make_line, api, quiet=order.quiet)
    except RefusedError as error:
        if error.status != NOT_FOUND or order.confirm_above is not None:
            raise
        return sidecar
    if quoted.rejected:
        good = quoted.lines - len(quoted.rejected)
        raise InputError(told(prompts.path, sorted(quoted.rejected), good=good))
    await _agree(order, quoted)
    least, expected, most = (quoted.nano(each) for each in ("least", "expected", "most"))
    note = QuoteNote(least=least, expected=expected, most=most)
    noted = sidecar.model_copy(update={"quote": note})
    save(order.out, noted)
    return noted


async def _agree(order: Order, quoted: Quoted) -> None:
    """Tell the quote, and ask where it is too much. Raises InputError."""
    if not order.quiet:
        for said in (quoted.in_words(), *quoted.warnings()):
            stderr.print(f"  {said}", markup=False)
    most, allowed = quoted.nano("most"), order.confirm_above
    if allowed is None or most <= allowed:
        return
    above = f"it may cost {show_usd(most)}, more than --confirm-above {show_usd(allowed)}"
    if not sys.stdin.isatty():
        message = f"{above}, and nobody can be asked; nothing was submitted"
        raise InputError(message)
    stderr.print(f"{above}; go on? [y/N] ", markup=False, end="")
    if (await _typed()).strip().lower() not in YES:
        raise InputError("nothing was submitted")


async def _typed() -> str:
    """A line of the terminal; Ctrl-C and TERM end the wait for it."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        if not answer.done():
            answer.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin, read)
    try:
        return await answer
    finally:
        loop.remove_reader(sys.stdin)
