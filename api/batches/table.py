"""The dialects that batches come in, one row each."""

from collections.abc import Mapping
from typing import Final

from api.batches import anthropic_lines, native_lines, openai_lines
from api.batches.dialects import Dialect

OPENAI: Final = "openai"
NATIVE: Final = "native"
ANTHROPIC: Final = "anthropic"
DIALECTS: Final[Mapping[str, Dialect]] = {
    OPENAI: Dialect(
        read=openai_lines.read_line,
        answered=openai_lines.answered,
        unanswered=openai_lines.unanswered,
        named=openai_lines.named,
        apart=True,
        endpoints=openai_lines.ENDPOINTS,
    ),
    NATIVE: Dialect(
        read=native_lines.read_line,
        answered=native_lines.written,
        unanswered=native_lines.written,
        named=native_lines.named,
        apart=False,
        endpoints=(native_lines.ENDPOINT,),
    ),
    ANTHROPIC: Dialect(
        read=anthropic_lines.read_line,
        answered=anthropic_lines.answered,
        unanswered=anthropic_lines.unanswered,
        named=anthropic_lines.named,
        apart=False,
        endpoints=anthropic_lines.ENDPOINTS,
        alone=True,
    ),
}
"""By what `batches.dialect` holds."""
