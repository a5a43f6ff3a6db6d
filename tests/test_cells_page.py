"""The generated parts of docs/cells.md are what the cells, the features and the times say."""

import pytest
from marks import in_matrix

from benchmarks import cells
from jaxrnn.recurrence import equations
from jaxrnn.recurrence.native import source
from jaxrnn.recurrence.unit_programs import NotPerUnitError


def why_there_is_no_code(cell, dtype):
    """As `choice._kernel`, but the code is not compiled, which takes seconds for each cell."""
    try:
        source.cell_source(equations.trace(cell, dtype))
    except NotPerUnitError as error:
        return f"the cell {cell.name} is not eligible: {error}"
    return None


def test_the_page_is_what_the_command_writes(as_users_run, monkeypatch):
    monkeypatch.delenv("JAXRNN_NATIVE", raising=False)
    monkeypatch.setattr("jaxrnn.recurrence.native.choice._kernel", why_there_is_no_code)
    monkeypatch.setattr("jaxrnn.recurrence.native.linear.obstacle", lambda dtype: None)
    assert cells.PAGE.read_text(encoding="utf-8") == cells.text(), (
        "run `python -m benchmarks.cells --write`"
    )


def test_all_cells_were_timed():
    assert cells.read_times()["ms"].keys() == cells.CELLS.keys()


@pytest.mark.parametrize("name", ["lstm", *in_matrix(*(c for c in cells.CELLS if c != "lstm"))])
def test_a_step_that_is_timed_has_gradients_of_everything(name, monkeypatch):
    monkeypatch.setattr(cells, "SIZE", 4)
    gradients, d_inputs = cells.make_step(name)()
    assert d_inputs.shape == (cells.NUM_STEPS, cells.BATCH_SIZE, 4)
    assert all(leaf.any() for leaf in (gradients.w_ih, gradients.b_ih, d_inputs))
