"""Fixtures for the tests of evaluations: models that were evaluated at no cost."""

import pytest
from evaluated_runs import evaluate


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory):
    """A run folder in which two models were evaluated by two evaluators, and what was printed. Copy it to change it."""
    return evaluate(tmp_path_factory.mktemp("evaluated"))
