"""Which models of a plan can take its request: every one is held to the same request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from shared.catalog.deployments import Catalog, Model
from shared.catalog.fit import Fitted, fit
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest, RequestKind

Verdicts = Mapping[str, Fitted | InvalidRequestError]
"""Model to its request as it is stored, or to why it cannot take it."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request that several models are asked about."""

    catalog: Catalog
    request: GenerationRequest
    rehearse: bool

    def to(self, model: Model) -> Fitted | InvalidRequestError:
        """Whether this model can take it."""
        asked = replace(self.request, model=model.id)
        try:
            return fit(self.catalog, asked, rehearse=self.rehearse)
        except InvalidRequestError as error:
            return error


def verdicts(question: Question, first: Iterable[Model], others: Iterable[Model]) -> Verdicts:
    """What each can do with it; `first` are the candidates, `others` those behind them.

    With `drop_unsupported`, options are left out only where no candidate takes them all, and
    then the same for everyone: whoever would need to leave out more cannot take it.
    """
    candidates = {model.id: model for model in first}
    asked = question.request
    strict = replace(question, request=replace(asked, drop_unsupported=False))
    found = {name: strict.to(model) for name, model in candidates.items()}
    if asked.drop_unsupported and not _taking(found):
        eased = (question.to(model) for model in candidates.values())
        if (base := next((each for each in eased if isinstance(each, Fitted)), None)) is not None:
            request = replace(base.request, drop_unsupported=False, max_tokens=asked.max_tokens)
            strict = replace(question, request=request)
            found = {name: strict.to(model) for name, model in candidates.items()}
    found |= {model.id: strict.to(model) for model in others if model.id not in found}
    return _with_one_most(strict, found)


def _with_one_most(question: Question, found: Verdicts) -> Verdicts:
    """The same `max_tokens` for everyone where the caller gave none.

    It is what the neediest of them usually gets, and no more than the tersest can give.
    """
    taking = _taking(found)
    asked = question.request
    if asked.max_tokens is not None or asked.kind is RequestKind.EMBEDDING or not taking:
        return found
    usual = max(each.max_tokens for each in taking)
    most = min(usual, *(each.model.max_output for each in taking))
    again = replace(question, request=replace(asked, max_tokens=most))
    return {
        name: again.to(each.model) if isinstance(each, Fitted) and each.max_tokens != most else each
        for name, each in found.items()
    }


def _taking(found: Verdicts) -> list[Fitted]:
    return [each for each in found.values() if isinstance(each, Fitted)]
