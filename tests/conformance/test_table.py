"""The table of docs/providers.md is what the suite proves."""

from inspect import iscoroutinefunction

from tests.conformance import test_answers, test_failures, test_streams
from tests.conformance.table import PAPER, written
from tests.conformance.targets import FEATURES, TARGETS, TESTED


def test_every_feature_is_tested_on_some_wire() -> None:
    assert set(FEATURES) == TESTED
    for feature in FEATURES:
        assert any(feature not in target.lacks for target in TARGETS), feature


def test_no_test_of_the_suite_is_about_one_wire_alone() -> None:
    for module in (test_answers, test_failures, test_streams):
        tests = [each for each in vars(module).values() if iscoroutinefunction(each)]
        assert tests
        for test in tests:
            asked = {mark.args[0] for mark in test.pytestmark if mark.name == "parametrize"}
            assert "target" in asked, test.__name__


def test_the_table_of_the_paper_is_made_from_the_suite() -> None:
    paper = PAPER.read_text()
    assert paper == written(paper), "make conformance writes it"
