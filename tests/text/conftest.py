"""What several of these tests share."""

import jaxtyping
import pytest


@pytest.fixture
def unannotated(monkeypatch):
    """As users run it: no annotation is checked, so the package's own errors are what one sees."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
