"""The house rules that no linter knows: each takes a text and yields what breaks it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MODULE_LINES: Final = 300
FUNCTION_LINES: Final = 40
FORBIDDEN_NAMES: Final = frozenset({"utils", "util", "common", "helpers", "helper", "misc"})
TRANSACTION_WORDS: Final = frozenset({"commit", "begin"})
MONEY: Final = re.compile(r"(^|_)(nano|costs?|prices?|hold|held|spent|money|budget|usd)(_|$)")
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
MAKE: Final = re.compile(r"(?:`|^\s*\$?\s*|&& )make ([a-z-]+)", re.MULTILINE)
REGISTRY: Final = re.compile(
    r"(pypi|pythonhosted)\.org|^\s*--(extra-)?index-url|^\s*--find-links", re.MULTILINE
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def unsaid_purpose(text: str) -> Iterator[str]:
    """A module begins with one line that ends with a full stop."""
    purpose = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0]
    if not text.startswith('"""') or "\n" in purpose or not purpose.endswith("."):
        yield "its first line is not a sentence that says what it is for"


def forbidden_name(path: Path) -> Iterator[str]:
    """A file is named by its role."""
    for name in sorted(FORBIDDEN_NAMES.intersection({path.stem, *path.parent.parts})):
        yield f"`{name}` names no role"


def long_functions(text: str) -> dict[str, int]:
    """The functions over the limit, by name, with their lines; docstrings do not count."""
    return {
        node.name: lines
        for node in ast.walk(ast.parse(text))
        if isinstance(node, Function) and (lines := _lines(node)) > FUNCTION_LINES
    }


def transactions(text: str) -> Iterator[str]:
    """A transaction begins and commits at the edge only."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(attr=word)) if word in TRANSACTION_WORDS:
                yield f"line {node.lineno}: .{word}() belongs to shared/db/engine.py"


def float_money(text: str) -> Iterator[str]:
    """Money is whole nano-dollars."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                pass
            case ast.AnnAssign(target=ast.Attribute(attr=name), annotation=annotation):
                pass
            case ast.arg(arg=name, annotation=ast.expr() as annotation):
                pass
            case ast.FunctionDef(name=name, returns=ast.expr() as annotation):
                pass
            case ast.AsyncFunctionDef(name=name, returns=ast.expr() as annotation):
                pass
            case _:
                continue
        if MONEY.search(name) and "float" in ast.unparse(annotation):
            yield f"line {annotation.lineno}: `{name}` is money and must be int"


def environment_reads(text: str) -> Iterator[str]:
    """The environment is read once, at the edge."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ"):
                yield f"line {node.lineno}: shared/settings.py reads the environment"
            case _:
                pass


def empty_tests(text: str) -> Iterator[str]:
    """A test asserts something, itself or through a function that it calls by such a name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function) and node.name.startswith("test_") and not _asserts(node):
            yield f"line {node.lineno}: {node.name} asserts nothing"


def broken_links(path: Path, text: str, root: Path) -> Iterator[str]:
    """A relative link leads to a file."""
    for link in LINK.findall(text):
        target = link.partition("#")[0]
        outside = ":" in target or not target
        if not outside and not (root / path.parent / target).exists():
            yield f"the link to {target} leads nowhere"


def unknown_words(text: str, known: set[str]) -> Iterator[str]:
    """A paper names only words that the Makefile has."""
    for word in sorted(set(MAKE.findall(text)) - known):
        yield f"`make {word}` does not exist"


def registries(text: str) -> Iterator[str]:
    """No file chooses where packages come from: that is the machine's business."""
    for found in REGISTRY.finditer(text):
        yield f"names a package registry: {found.group().strip()}"


def _lines(function: Function) -> int:
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    match first:
        case ast.Expr(value=ast.Constant(value=str())):
            return whole - ((first.end_lineno or first.lineno) - first.lineno + 1)
        case _:
            return whole


def _asserts(test: Function) -> bool:
    for node in ast.walk(test):
        match node:
            case ast.Assert():
                return True
            case ast.Call(func=ast.Attribute(attr=word) | ast.Name(id=word)) if word.startswith(
                ("assert", "expect", "check", "raises", "until")
            ):
                return True
    return False
