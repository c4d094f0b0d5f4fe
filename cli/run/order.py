"""One run as it was asked for, and all that is checked before it begins."""

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from cli.errors import InputError
from cli.local.environment import Surroundings
from cli.run.labels import NO_LABELS, Labels
from cli.run.reader import MOST_COLUMNS, Format, PromptFile, read_file, read_what_can_be
from cli.run.requests import Row, Wish, checked, from_batch_line, from_columns
from cli.run.sheet import DELIMITERS, is_sheet
from cli.run.source import LINE_COLUMN, Kind, kind_of
from cli.run.submit import MakeLine
from cli.run.writer import sheet_columns
from cli.server.address import Server
from shared.catalog.deployments import Catalog
from shared.routing.routes import routes_of, whom

OUT_SUFFIXES: Final = {"", ".jsonl", ".ndjson", *DELIMITERS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One `promptmill run` as it was asked for."""

    file: Path
    out: Path
    wish: Wish
    rehearse: bool
    lane: str
    tries: int
    restart: bool
    quiet: bool
    labels: Labels = NO_LABELS
    max_cost: Decimal | None = None
    """USD that all its calls may cost together; None: any."""
    server: Server | None = None
    """None: this machine's stack, one of the run's own if none runs."""
    confirm_above: int | None = None
    """Nano-USD: a run that may cost more is asked about, or refused."""
    receipt: str | None = None
    """Where its receipt goes, or `none`; None: beside the answers."""
    policy: dict[str, Any] | None = None
    """Whom to ask for each line, as the API takes it."""


def checked_prompts(order: Order) -> PromptFile:
    """The file of an order that can be carried out. Raises InputError."""
    prompts = checked_file(order.file, order.wish, catalog_of(order))
    _require_fitting(order, prompts)
    _require_key(order, prompts)
    return prompts


def request_of(row: Row, line_format: Format, wish: Wish) -> dict[str, Any]:
    """The request that a row asks for. Raises InputError."""
    return from_batch_line(row) if line_format is Format.BATCH else from_columns(row, wish)


def line_maker(order: Order, line_format: Format, run_id: str) -> MakeLine:
    """Makes the lines of the run's bulk submissions."""
    said = order.labels.fields
    if order.max_cost is not None:
        said["batch_max_cost"] = format(order.max_cost, "f")
    if order.policy is not None:
        said["policy"] = order.policy

    def make(row: Row, number: int) -> dict[str, Any]:
        return {
            **said,
            "request": request_of(row, line_format, order.wish),
            "lane": order.lane,
            "max_tries": order.tries,
            "batch": run_id,
            "rehearse": order.rehearse,
            "metadata": {"line": str(number)},
            "idempotency_key": f"{run_id}:{number}",
        }

    return make


def checked_file(file: Path, wish: Wish, catalog: Catalog | None) -> PromptFile:
    """The file, every line of it checked as far as the catalog allows. Raises InputError."""
    return read_file(
        file, lambda row, line_format: checked(request_of(row, line_format, wish), catalog)
    )


def checked_lines(file: Path, wish: Wish) -> PromptFile:
    """The file with the lines that are requests; the others are its `rejected`."""
    return read_what_can_be(
        file, lambda row, line_format: checked(request_of(row, line_format, wish), None)
    )


def wish_for(file: Path, wish: Wish) -> Wish:
    """A plain line is its own prompt where the command line says nothing else."""
    if kind_of(file) is Kind.TXT and wish.prompt is None:
        return replace(wish, prompt=f"{{{{{LINE_COLUMN}}}}}")
    return wish


def catalog_of(order: Order) -> Catalog | None:
    """The catalog that its lines are held against before the quote.

    None where that is another machine's; and with a policy, which may name others than the model.
    """
    return None if order.server or order.policy else Surroundings.read().catalog()


def wishes_beside(order: Order) -> dict[str, Any]:
    """What else makes a run another one; what an older version did not know is left out."""
    wishes: dict[str, Any] = {
        "rehearse": order.rehearse, "lane": order.lane, "tries": order.tries,
        **order.labels.fields,
    }  # fmt: skip
    if order.max_cost is not None:
        wishes["max_cost"] = str(order.max_cost)
    if order.policy is not None:
        wishes["policy"] = order.policy
    if order.server is not None:
        wishes["server"] = order.server.url
    if (kind := kind_of(order.file)) is not Kind.JSONL:
        wishes["kind"] = kind
    return wishes


def _require_fitting(order: Order, prompts: PromptFile) -> None:
    """Options that would change nothing, or the wrong file, are refused."""
    if prompts.format is Format.BATCH and (idle := order.wish.for_columns):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        message = f"{options}: {order.file.name} is an OpenAI batch file, its lines say it all"
        raise InputError(message)
    if order.out.resolve() == order.file.resolve():
        message = f"{order.out} would replace the prompts; choose another -o"
        raise InputError(message)
    if order.out.suffix.lower() not in OUT_SUFFIXES:
        message = f"{order.out}: answers are written as .jsonl, .csv or .tsv; choose another -o"
        raise InputError(message)
    if order.max_cost == 0:
        raise InputError("--max-cost 0: no call fits; say more, or --rehearse, which costs nothing")
    if is_sheet(order.out):
        _require_flat(order, prompts)


def _require_flat(order: Order, prompts: PromptFile) -> None:
    """A table has one column for each name, and not too many."""
    if len(prompts.columns) > MOST_COLUMNS:
        message = f"{order.out}: more than {MOST_COLUMNS} columns; write .jsonl instead"
        raise InputError(message)
    columns = sheet_columns(prompts)
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        message = f"the column {twice!r} is where an answer goes; rename it, or write .jsonl"
        raise InputError(message)


def _require_key(order: Order, prompts: PromptFile) -> None:
    """A run that cannot call its provider is refused before anything starts."""
    if order.rehearse or order.server is not None or order.policy is not None:
        return
    surroundings = Surroundings.read()
    catalog = surroundings.catalog()
    routes = routes_of(catalog)
    rows = prompts.rows()
    models = {request_of(row, prompts.format, order.wish)["model"] for row in rows}
    for model in sorted(models):
        plan = whom(catalog, routes, model)
        if not any(surroundings.has_any(d.provider.key_variables) for d in plan):
            names = " or ".join(dict.fromkeys(v for d in plan for v in d.provider.key_variables))
            message = (
                f"{names} is not set, and {model} needs it: export it, write it into .env, "
                "or add --rehearse to send the work to the simulator, which needs no key"
            )
            raise InputError(message)
