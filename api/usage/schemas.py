"""The public shapes of usage."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.jobs.schemas import Cost, Moment
from shared.domain.usage import Dimension, percentile

Period = Literal["minute", "hour", "day", "week", "month", "total"]
Name = Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$")]
Names = Annotated[list[Name], Field(max_length=50)]
FILTERS: Final = tuple(each for each in Dimension if each is not Dimension.TENANT)


class TimeQuery(BaseModel):
    """Whose calls, and of which time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_: AwareDatetime | None = Field(
        None, alias="from", description="Calls sent then or later; a week ago where absent"
    )
    to: AwareDatetime | None = Field(None, description="Calls sent before; absent: until now")
    tenant: Name | None = Field(
        None, description="For the scope operator: another tenant's name, or * for all"
    )


class UsageQuery(TimeQuery):
    """Which calls, and how they are told apart."""

    every: Period = "day"
    time_zone: Name = Field("UTC", description="An IANA name: where days and months begin")
    group_by: Name = Field("", description=f"Some of {', '.join(Dimension)}, with commas")
    rehearsals: bool = Field(False, description="Only rehearsals; otherwise none of them")  # noqa: FBT003
    project: Names = Field(default_factory=list)
    key: Names = Field(default_factory=list)
    tag: Names = Field(default_factory=list)
    provider: Names = Field(default_factory=list)
    model: Names = Field(default_factory=list)
    route: Names = Field(default_factory=list)
    outcome: Names = Field(default_factory=list, description="`refused` is every kind of it")
    after: Annotated[str | None, Field(max_length=4096)] = None
    limit: Annotated[int, Field(ge=1, le=5000)] = 1000


class Tokens(BaseModel):
    """Tokens as the providers reported them."""

    input: int
    cached: int
    """Of the input, what was read from a cache."""
    cache_write: int
    """Of the input, what was written to one."""
    output: int
    reasoning: int
    """Of the output."""


class Latency(BaseModel):
    """Milliseconds of calls whose end is known, estimated within a factor of the root of two."""

    p50: int | None
    p95: int | None
    p99: int | None

    @classmethod
    def of(cls, latencies: list[int]) -> Self:
        """From calls by bucket."""
        found = (percentile(latencies, share) for share in (0.5, 0.95, 0.99))
        p50, p95, p99 = (None if each is None else round(each) for each in found)
        return cls(p50=p50, p95=p95, p99=p99)


class UsageRow(BaseModel):
    """Calls of one period and group."""

    at: Moment
    """When the period begins; of `total`, the beginning of all."""
    group: dict[Dimension, str]
    """Empty words are for calls without such a thing."""
    calls: int
    answered: int
    error_rate: float
    """The part of the calls that gave no usable answer, refused and unknown ones too."""
    tokens: Tokens
    cost: Cost
    saved: Cost
    """What cached tokens would have cost more as any other input."""
    latency_ms: Latency

    @classmethod
    def of(cls, row: Any, group_by: tuple[Dimension, ...]) -> Self:
        """From a row of shared/db/usage.py."""
        return cls(
            at=row.at,
            group={each: getattr(row, f"group_{n}") for n, each in enumerate(group_by)},
            calls=row.calls,
            answered=row.answered,
            error_rate=round(1 - row.answered / row.calls, 6) if row.calls else 0.0,
            tokens=Tokens(
                input=row.input_tokens,
                cached=row.cached_tokens,
                cache_write=row.cache_write_tokens,
                output=row.output_tokens,
                reasoning=row.reasoning_tokens,
            ),
            cost=Cost.of(row.cost_nano),
            saved=Cost.of(row.saved_nano),
            latency_ms=Latency.of(row.latencies),
        )


class UsageRead(BaseModel):
    """One page of sums, by period and group."""

    object: Literal["usage"] = "usage"
    from_: Moment = Field(serialization_alias="from")
    to: Moment
    every: Period
    time_zone: str
    group_by: list[Dimension]
    data: list[UsageRow]
    has_more: bool
    next: str | None
    """Ask again with `after` set to this."""
