"""The matrix of faults, a plugin of pytest: how many of each area were survived.

    python -m pytest --matrix

Without `--matrix` every test takes a few of its faults only, and those marked `matrix` are not
selected, nor are combinations of cells, depths and options that others contain; with it, all are,
and as many faults as the matrix of docs/reliability.md counts.  `--soak 30` goes on killing runs
for that many minutes in all.
"""

import collections
import os

import pytest
from subprocesses import UNOPTIMISED


def pytest_addoption(parser):
    parser.addoption("--matrix", action="store_true", help="all faults and combinations: an hour")
    parser.addoption("--soak", type=float, default=0.0, help="minutes of random kills")


def pytest_configure(config):
    config.addinivalue_line("markers", "matrix: only with --matrix, whose rows it adds to")
    if config.getoption("--matrix"):
        os.environ[UNOPTIMISED] = "0"


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--matrix"):
        long = [item for item in items if item.get_closest_marker("matrix")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture
def how_many(request):
    """(few, all) -> how many faults this run injects."""
    whole = request.config.getoption("--matrix")
    return lambda few, all_of_them: all_of_them if whole else few


@pytest.fixture
def soak_minutes(request):
    """How long to go on killing runs."""
    return request.config.getoption("--soak")


@pytest.fixture
def survived(record_property):
    """(area, count): add to the matrix that is printed at the end, if the test passes."""
    return lambda area, count: record_property("survived", [area, count])


def pytest_terminal_summary(terminalreporter):
    counts = collections.Counter()
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "survived":
                counts[value[0]] += value[1]
    if counts:
        terminalreporter.section("faults survived")
        terminalreporter.line("| fault | survived |\n|---|---|")
        for area, count in sorted(counts.items()):
            terminalreporter.line(f"| {area} | {count} |")
