"""The exception tree, in words of the domain.

PromptmillError
├── ConfigurationError      settings, catalog, environment: the message names the variable
├── InvalidRequestError     what the caller sent: `field` names where
│   ├── UnknownModelError
│   ├── ContextLengthError
│   └── BodyTooLargeError
├── NoDeploymentError       the model is known, but nobody holds a credential for it
├── NotAuthenticatedError   no key, or one that does not count
├── NotPermittedError       a key without the scope
├── NotFoundError           also for what belongs to another tenant
├── ConflictError           the state does not allow it
├── IdempotencyMismatchError  the same key with another body
├── BudgetExceededError     a budget that rejects is spent
├── LimitReachedError       the caller has all that it may: ask again after `retry_after`
│   ├── TooManyStreamsError
│   ├── RateLimitedError    its requests of this minute are sent
│   └── QueueFullError      as much waits as it may have waiting
│       └── AllQueuesFullError  or as this installation takes
├── GenerationFailedError   a job whose answer somebody waits for has ended without one
├── NotYetError             it has not ended in the time that its caller had; it goes on
│   └── CutShortError       nor in the time that this process had; the next one knows it
└── UnavailableError        a dependency is away: try again later
"""


class PromptmillError(Exception):
    """Any error that is told to a person."""

    code = "internal"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class ConfigurationError(PromptmillError):
    """A setting is missing or wrong; the message names it."""

    code = "configuration"


class InvalidRequestError(PromptmillError):
    """The request cannot be taken as it is; `field` names where."""

    code = "invalid_request"


class UnknownModelError(InvalidRequestError):
    """No such model in the catalog."""

    code = "unknown_model"


class ContextLengthError(InvalidRequestError):
    """What is said and what may be answered do not fit the model's window."""


class BodyTooLargeError(InvalidRequestError):
    """More bytes than the cap allows."""

    code = "body_too_large"


class NoDeploymentError(PromptmillError):
    """The model is known, but no deployment of it can be called."""

    code = "no_deployment"


class NotAuthenticatedError(PromptmillError):
    """No key, or one that does not count."""

    code = "not_authenticated"


class NotPermittedError(PromptmillError):
    """The key lacks the scope."""

    code = "not_permitted"


class NotFoundError(PromptmillError):
    """Nothing of that name belongs to the caller."""

    code = "not_found"


class ConflictError(PromptmillError):
    """The thing's state does not allow it."""

    code = "conflict"


class IdempotencyMismatchError(PromptmillError):
    """The idempotency key was used with another body."""

    code = "idempotency_mismatch"


class BudgetExceededError(PromptmillError):
    """What is spent of a budget that rejects leaves no room for the job; `line`: of a bulk body."""

    code = "budget_exceeded"

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class LimitReachedError(PromptmillError):
    """The caller has all that it may have at one time or in this time."""

    code = "limit_reached"

    def __init__(self, message: str, *, retry_after: int, field: str | None = None) -> None:
        """`retry_after`: whole seconds until it is worth to ask again."""
        super().__init__(message, field=field)
        self.retry_after = retry_after


class TooManyStreamsError(LimitReachedError):
    """More streams of events at one time than a tenant may have."""

    code = "too_many_streams"


class RateLimitedError(LimitReachedError):
    """The caller has sent its requests of this minute."""

    code = "rate_limited"


class QueueFullError(LimitReachedError):
    """As much waits as the caller may have waiting."""

    code = "queue_full"


class AllQueuesFullError(QueueFullError):
    """As much waits as this installation takes."""


class GenerationFailedError(PromptmillError):
    """A job ended without an answer; `kind`: its error's, or the state that it ended in."""

    code = "generation_failed"

    def __init__(self, message: str, *, kind: str, job_id: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.job_id = job_id


class NotYetError(PromptmillError):
    """The job that somebody waits for goes on; `status_url` tells of it."""

    code = "not_yet"

    def __init__(self, message: str, *, status_url: str) -> None:
        super().__init__(message)
        self.status_url = status_url


class CutShortError(NotYetError):
    """This process ends before the job does; the same call again finds the job."""

    code = "cut_short"


class UnavailableError(PromptmillError):
    """A dependency is away; the same call may succeed later."""

    code = "unavailable"
