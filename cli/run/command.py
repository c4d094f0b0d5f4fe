"""`promptmill run`: a file of prompts in, the answers in its order out."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Final

from cli import client
from cli.run.agree import agreed
from cli.run.audit import simulator_bill
from cli.run.order import Order, checked_prompts, line_maker, wish_for, wishes_beside
from cli.run.place import OUTAGE_SECONDS, connected, place
from cli.run.progress import Meterstick, Standing
from cli.run.reader import PromptFile
from cli.run.receipt import NO_RECEIPT, Receipt, write_receipt
from cli.run.sidecar import (
    QuoteNote,
    Sidecar,
    begin_or_resume,
    fingerprint,
    path_for,
    save,
)
from cli.run.submit import submit
from cli.run.unsent import sent
from cli.run.writer import Written, write_answers
from shared.domain.errors import UnavailableError

POLL_SECONDS: Final = 0.4


@dataclass(slots=True)
class Report:
    """How a run went."""

    run_id: str
    out: Path
    total: int
    written: Written
    rehearse: bool
    resumed: bool
    seconds: dict[str, float] = field(default_factory=dict)
    simulator_nano: int | None = None
    already_finished: bool = False
    blank: int = 0
    """Lines of the input that said nothing."""
    quote: QuoteNote | None = None
    """What it was to cost; None: the server gives no quotes."""
    receipt: Receipt = NO_RECEIPT


def execute(order: Order) -> Report:
    """Check everything, then run it. Raises PromptmillError for what the user can mend.

    KeyboardInterrupt leaves accepted work where the same command finds it again.
    """
    order = replace(order, wish=wish_for(order.file, order.wish))
    prompts = checked_prompts(order)
    mark = fingerprint(order.file, order.wish, **wishes_beside(order))
    sidecar, resumed = begin_or_resume(order.out, mark, restart=order.restart)
    if sidecar.finished and order.out.exists():
        return Report(
            sidecar.run_id, order.out, len(prompts), Written(), order.rehearse, resumed,
            already_finished=True, blank=prompts.blank,
        )  # fmt: skip
    try:
        return asyncio.run(_run(order, prompts, sidecar, resumed=resumed))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except UnavailableError as error:
        message = f"{error.message} for {OUTAGE_SECONDS:.0f} s; {interrupted_note(order)}"
        raise UnavailableError(message) from None


async def _run(order: Order, prompts: PromptFile, sidecar: Sidecar, *, resumed: bool) -> Report:
    """The story of a run: stack, submit, watch, write, stop."""
    watch = _Stopwatch()
    async with (
        place(order.server, rehearse=order.rehearse) as (server, address),
        connected(server) as api,
    ):
        watch.lap("start")
        make_line = line_maker(order, prompts.format, sidecar.run_id)
        sidecar = await agreed(order, prompts, sidecar, make_line, api)
        watch.lap("quote")
        handed = await submit(prompts, make_line, api)
        watch.lap("submit")
        await _watch(len(sent(handed)), sidecar.run_id, api, quiet=order.quiet)
        watch.lap("answer")
        written = await write_answers(prompts, handed, api.results(sidecar.run_id), order.out)
        receipt = await write_receipt(api, order, sidecar.run_id)
        save(order.out, sidecar.model_copy(update={"finished": not written.unsent}))
        audit = order.rehearse and address
        bill = await simulator_bill(audit, sidecar.run_id) if audit else None
        watch.lap("write")
    watch.lap("stop")
    return Report(
        sidecar.run_id, order.out, len(prompts), written, order.rehearse, resumed,
        watch.laps, bill, blank=prompts.blank, quote=sidecar.quote, receipt=receipt,
    )  # fmt: skip


async def _watch(total: int, run_id: str, api: client.Client, *, quiet: bool) -> None:
    """Show how it goes until every job has ended."""
    with Meterstick(total, quiet=quiet) as meterstick:
        while True:
            asked = monotonic()
            summary = await api.summary(run_id)
            standing = Standing(total, summary["counts"], summary["cost"]["nano_usd"])
            meterstick.show(standing)
            if standing.ended >= total:
                return
            # Counting a large run takes a while: the API shall not be kept busy by it.
            await asyncio.sleep(max(POLL_SECONDS, 5 * (monotonic() - asked)))


class _Stopwatch:
    """Seconds of each phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._at = monotonic()

    def lap(self, name: str) -> None:
        """The phase of that name ends now."""
        now = monotonic()
        self.laps[name], self._at = now - self._at, now


def interrupted_note(order: Order) -> str:
    """What Ctrl-C says."""
    note = path_for(order.out).name
    return (
        "stopped; what was accepted is kept and no answer is lost. "
        f"The same command goes on where this one stopped (see {note})"
    )
