"""Each way to deploy is deployed once."""

import sys

import pytest

# Nothing is written beside the sources.
sys.dont_write_bytecode = True

from stack import Stack  # noqa: E402


@pytest.fixture(scope="session")
def observing():
    """As `sam deploy` makes it from the defaults."""
    stack = Stack("observing")
    yield stack
    stack.close()


@pytest.fixture(scope="session")
def enforcing():
    """With every condition on."""
    stack = Stack("enforcing", Mode="enforce", OrganizationId="o-exampleorg", AlarmEmail="ops@example.com")
    yield stack
    stack.close()
