"""Every documented answer of AWS has a meaning, the simulator's fault, and a test on the wire."""

import answers
import pytest


def test_every_documented_answer_has_a_row():
    _, rows = answers.read()
    found = list(answers.problems(rows, answers.documented(), answers.faults(), answers.tests()))
    if found:
        pytest.fail("\n".join(["tests/checks/answers.py --add adds rows:", *found]), pytrace=False)


KEY = ("ecr", "BatchGetImage", "LimitExceededException")
ROW = ["400", "throttled", "ReadThrottled", "answers_of_the_registry"]


def said(rows, expected=None):
    return list(answers.problems(rows, expected or {KEY: "400"}, {"ReadThrottled"}, {"answers_of_the_registry"}))


def test_a_row_that_is_missing_undocumented_or_without_a_test_is_named():
    assert said({KEY: ROW}) == []
    assert said({}) == ["ecr BatchGetImage LimitExceededException: no row"]
    assert said({KEY: ROW, ("ecr", "X", "Y"): ROW}) == ["ecr X Y: not documented"]
    for cell, problem in [(0, "its status is 400"), (2, "the simulator has no fault x"), (3, "there is no test x")]:
        wrong = [*ROW[:cell], "x", *ROW[cell + 1 :]]
        assert said({KEY: wrong}) == [f"ecr BatchGetImage LimitExceededException: {problem}"]
    assert said({KEY: [*ROW[:3], "?"]}) == ["ecr BatchGetImage LimitExceededException: a cell is empty"]


def test_the_errors_of_a_call_and_the_values_of_an_enumeration_are_documented():
    documented = answers.documented()
    assert documented["codepipeline", "StartPipelineExecution", "ConflictException"] == "409"
    assert documented["ecr", "ScanStatus", "ACTIVE"] == "-"
    assert documented["sts", "AssumeRole", "MalformedPolicyDocument"] == "400"
    assert documented["ecr", "DescribeImages", "ServerException"] == "500"
