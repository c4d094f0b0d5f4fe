"""The receipt of a run, beside its answers: a line for each call, and the sum."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.client import Client
from cli.receipts.save import of_batch, save
from cli.run.order import Order
from cli.run.sheet import is_sheet
from shared.domain.errors import PromptmillError

FOLDER: Final = Path("artifacts", "costs")
NOWHERE: Final = "none"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where it is, or why there is none."""

    path: Path | None = None
    problem: str | None = None


NO_RECEIPT: Final = Receipt()


def place_for(order: Order, run_id: str) -> Path | None:
    """Where the receipt goes: `artifacts/costs/RUN.jsonl` beside the answers, unless it is said."""
    if order.receipt == NOWHERE:
        return None
    if order.receipt is not None:
        return Path(order.receipt)
    return order.out.parent / FOLDER / f"{run_id}.jsonl"


async def write_receipt(api: Client, order: Order, run_id: str) -> Receipt:
    """Write it; what goes wrong with it spoils no answer."""
    place = place_for(order, run_id)
    if place is None:
        return NO_RECEIPT
    if place.resolve() in {order.file.resolve(), order.out.resolve()}:
        return Receipt(problem=f"{place} would be replaced by it; choose another --receipt")
    try:
        await save(api, of_batch(run_id), place, table=is_sheet(place))
    except PromptmillError as error:
        return Receipt(problem=error.message)
    return Receipt(path=place)
