"""What the native forms answer: the text, whose it is, and what it cost."""

from typing import Literal

from pydantic import BaseModel

from api.jobs.schemas import Cost, JobRead
from shared.domain.generation import FinishReason
from shared.routing.policy import Complexity


class TokensRead(BaseModel):
    """Tokens as billed; the input includes what was cached, the output the reasoning."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class Answer(BaseModel):
    """An answer, and what it cost. All of the job stands at its status URL."""

    id: str
    """The job's."""
    object: Literal["answer"] = "answer"
    text: str
    refusal: str | None
    """What the model said where it would not answer."""
    finish_reason: FinishReason | None
    """None: the answer was deleted since, as this installation's retention has it."""
    model: str
    """The model that the provider says it used."""
    complexity: Complexity | None = None
    """What the classifier found, or the request said; of the routed form."""
    usage: TokensRead | None
    """None: the provider did not say."""
    cost: Cost
    status_url: str

    @classmethod
    def of(cls, job: JobRead, complexity: Complexity | None = None) -> "Answer":
        """From a job that has its result."""
        result = job.result or {}
        usage = result.get("usage")
        return cls(
            id=job.id,
            text=result.get("content", ""),
            refusal=result.get("refusal"),
            finish_reason=result.get("finish_reason"),
            model=result.get("model") or job.model,
            complexity=complexity,
            usage=None if usage is None else TokensRead.model_validate(usage),
            cost=job.cost,
            status_url=job.status_url,
        )
