"""Embedding vectors: the same text has the same one, always and everywhere."""

import hashlib
import math
import struct
from typing import Final

DIMENSIONS: Final = {"text-embedding-3-small": 1536, "text-embedding-ada-002": 1536}
MOST: Final = 3072
"""Of all other models."""


def vector(model: str, text: str, dimensions: int | None) -> list[float]:
    """A vector of length 1, in single precision."""
    size = dimensions or DIMENSIONS.get(model, MOST)
    seed = f"{model}:{text}".encode("utf-8", "surrogatepass")
    raw = struct.unpack(f"<{size}h", hashlib.shake_256(seed).digest(size * 2))
    length = math.sqrt(sum(each * each for each in raw)) or 1.0
    single = struct.Struct(f"<{size}f")
    return list(single.unpack(single.pack(*(each / length for each in raw))))


def little_endian(values: list[float]) -> bytes:
    """The vector as OpenAI packs it before base64."""
    return struct.pack(f"<{len(values)}f", *values)
