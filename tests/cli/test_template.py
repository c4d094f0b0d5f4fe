"""A prompt says what its columns say, and nothing else."""

import pytest

from cli.errors import InputError
from cli.run.template import fill


def test_every_place_gets_its_columns_text() -> None:
    row = {"a": "one", "b c": "two"}
    assert fill("{{a}} and {{ b c }}, {{a}}", row) == "one and two, one"


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (None, "null"), ({"k": ["ü"]}, '{"k": ["ü"]}'), (2**70, str(2**70))],
)
def test_what_is_no_text_is_written_as_json(value: object, text: str) -> None:
    assert fill("{{a}}", {"a": value}) == text


def test_braces_in_a_value_are_no_places() -> None:
    assert fill("{{a}}", {"a": "{{b}}", "b": "x"}) == "{{b}}"


def test_single_braces_and_json_in_the_prompt_stay() -> None:
    assert fill('{"q": "{{a}}"} {a}', {"a": "x"}) == '{"q": "x"} {a}'


def test_an_unknown_column_is_named_beside_those_that_are_there() -> None:
    with pytest.raises(InputError, match=r"no column 'c' .* columns are: a, b"):
        fill("{{c}}", {"b": "x", "a": "y"})
