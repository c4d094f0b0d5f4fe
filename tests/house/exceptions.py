"""What is longer than the house allows: a table that may only shrink."""

from typing import Final

LONG_MODULES: Final[dict[str, int]] = {}
"""Path to lines."""

LONG_FUNCTIONS: Final[dict[str, int]] = {}
"""`path::function` to lines."""


def unkept(found: dict[str, int], allowed: dict[str, int]) -> list[str]:
    """What grew over the limit without leave, or over its leave, or needs less leave now."""
    grown = [
        f"{name} has {size} lines: split it" for name, size in found.items() if name not in allowed
    ]
    changed = [
        f"{name} has {found.get(name, 'few')} lines, its exception says {limit}: "
        + ("split it" if found.get(name, 0) > limit else "lower or drop the exception")
        for name, limit in allowed.items()
        if found.get(name) != limit
    ]
    return grown + changed
