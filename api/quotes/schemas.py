"""The public shapes of quotes."""

from pydantic import BaseModel

from api.jobs.schemas import Cost, Moment
from shared.domain.budget import AtLimit, Every, Scope
from shared.domain.errors import BodyTooLargeError, BudgetExceededError, LimitReachedError


class RejectedLine(BaseModel):
    """A line that a submission would be refused for."""

    line: int
    field: str | None
    code: str
    message: str


class PriceRange(BaseModel):
    """What the lines cost together, each answered by its first call."""

    least: Cost
    """Their input in the provider's cache, and answers of one token."""
    expected: Cost
    most: Cost
    """What is held for their calls; no call costs more."""


class OutputTokens(BaseModel):
    """How long the answers are."""

    expected: int
    most: int
    """The sum of `max_tokens`."""


class QuotedSum(BaseModel):
    """Many lines together."""

    lines: int
    input_tokens: int
    """As they are counted for the provider's limits and for the hold."""
    expected_input_tokens: int
    """The same, by what past answers were billed."""
    output_tokens: OutputTokens
    price: PriceRange


class QuotedEta(BaseModel):
    """When the last of the lines is answered, as things stand now."""

    seconds: float
    at: Moment
    binding: str
    """What sets the pace: a limit of the deployment, its concurrency, or the workers."""
    deployment: str
    """Whose limit that is."""
    calls_a_minute: float
    ahead: int
    """The caller's own jobs that go first; counted to 10000."""
    other_tenants: int
    """Tenants with jobs of the same model; turns are shared."""
    wait_seconds: float
    """Until the first of them may go."""
    answer_seconds: float
    """What the last answer takes."""


class QuotedModel(QuotedSum):
    """The lines of one model."""

    model: str
    rehearse: bool
    deployments: list[str]
    """Who may take them, the first first."""
    basis: str
    """Where the expected lengths come from."""
    prices: str
    """Of the first deployment, in words."""
    price_version: str
    blocked: str | None
    """Why a submission would be refused, or nobody could be called now."""
    eta: QuotedEta | None
    """None where no limit is known to hold them back, or no worker would take them."""


class QuotedBudget(BaseModel):
    """A budget that some of the lines count in; of the whole house's the amounts are not told."""

    name: str
    scope: Scope
    subject: str
    every: Every
    at_limit: AtLimit
    of_the_house: bool
    cap: Cost | None
    left: Cost | None
    """What is neither spent nor held in the window of this moment."""
    lines: int
    expected: Cost
    most: Cost
    fits: bool
    """All that is held for the lines has room at once."""
    expected_fits: bool
    """What they are expected to cost has room."""


class RefusedNow(BaseModel):
    """Why lines that are right would not be accepted at this moment."""

    code: str
    """`queue_full`, `body_too_large` (more than may ever wait at one time) or `budget_exceeded`."""
    message: str
    line: int | None
    """The first line that it is about; None: all of them."""
    retry_after: int | None
    """Seconds until it is worth to ask again; None: nobody knows."""

    @classmethod
    def of(cls, error: LimitReachedError | BodyTooLargeError | BudgetExceededError) -> "RefusedNow":
        """What a submission would be answered with."""
        line = error.line if isinstance(error, BudgetExceededError) else None
        wait = error.retry_after if isinstance(error, LimitReachedError) else None
        message = error.message.removeprefix(f"line {line}: ")
        return cls(code=error.code, message=message, line=line, retry_after=wait)


class Quote(BaseModel):
    """What a submission would cost and when it would be done; nothing was accepted."""

    lines: int
    rejected: list[RejectedLine]
    """A bulk submission is refused as a whole while there is one."""
    refused_now: list[RefusedNow]
    """Why a submission of the others would be refused now: the queue, or a budget."""
    total: QuotedSum
    models: list[QuotedModel]
    budgets: list[QuotedBudget]
    eta: QuotedEta | None
    """Of the model that takes the longest."""
