"""Deploys the stack once for each way to deploy it."""

import sys

import pytest

# Nothing is written beside the sources.
sys.dont_write_bytecode = True

from stack import Stack  # noqa: E402


def pytest_configure(config):
    # parliament's own warning.
    config.addinivalue_line("filterwarnings", "ignore:pkg_resources is deprecated")


@pytest.fixture(scope="session")
def observing():
    """The stack that `sam deploy` makes from the defaults."""
    stack = Stack("observing")
    yield stack
    stack.close()


@pytest.fixture(scope="session")
def enforcing():
    """The stack with every condition on."""
    given = {"OrganizationId": "o-exampleorg", "AlarmEmail": "ops@example.com", "Pipelines": "rebuild-*"}
    given["UpstreamSecrets"] = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-AbCdEf"
    stack = Stack("enforcing", Mode="enforce", **given)
    yield stack
    stack.close()
