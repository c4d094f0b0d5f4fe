"""What people write for the simulator: read strictly, refused in one sentence."""

from pydantic import BaseModel, ConfigDict, ValidationError


class Strict(BaseModel):
    """An unknown word or a value out of range is a mistake to tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def sentence(error: ValidationError) -> str:
    """The first problem in one line: where it is, then what is wrong."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
