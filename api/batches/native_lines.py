"""Lines of native batches: a job each, with a custom_id; its end with result and cost."""

from collections.abc import Mapping
from typing import Any, Final

from api.batches.dialects import Json, Line, LineEnd, custom_id_of, mistake
from api.jobs.schemas import Cost, JobSubmit

ENDPOINT: Final = "/api/v1/jobs"
OF_THE_BATCH: Final = frozenset({"batch", "batch_max_cost", "deadline_seconds"})
OWN_FIELDS: Final = frozenset(JobSubmit.model_fields) - OF_THE_BATCH


def read_line(row: Mapping[str, Any], _: str) -> Line:
    """What the line asks for. Raises InvalidRequestError."""
    custom_id = custom_id_of(row)
    fields = {name: value for name, value in row.items() if name != "custom_id"}
    if unknown := sorted(fields.keys() - OWN_FIELDS):
        said = f"{unknown[0]}: a line of a batch has no such field"
        raise mistake("unknown_parameter", said, unknown[0])
    request = fields.get("request")
    if isinstance(request, dict) and request.get("stream"):
        said = "request.stream: lines of a batch have no stream; leave it out"
        raise mistake("streaming_not_supported", said, "request.stream")
    return Line(custom_id=custom_id, fields=fields)


def named(field: str, _: Mapping[str, Any]) -> str:
    """Where a line has what is this field of the normal form."""
    return f"request.{field}"


def written(end: LineEnd) -> Json:
    """A line of the results, answered or not."""
    failed = end.result is None
    return {
        "custom_id": end.custom_id,
        "line": end.number,
        "job_id": end.job_id,
        "state": end.state,
        "result": end.result,
        "error": {"kind": end.kind or end.state, "message": end.message} if failed else None,
        "cost": Cost.of(end.cost_nano, unknown=end.cost_flagged).model_dump(),
        "tries": end.tries,
    }
