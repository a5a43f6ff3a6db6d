"""The generated parts of docs/cells.md are what the cells, the features and the times say."""

import pytest
from marks import in_matrix

import jaxrnn
from benchmarks import cells


@pytest.mark.skipif(
    jaxrnn.implementations(jaxrnn.lstm(4))["native"] != "available",
    reason="without a C++ compiler the page would say so",
)
def test_the_page_is_what_the_command_writes(as_users_run):
    assert cells.PAGE.read_text(encoding="utf-8") == cells.text(), (
        "run `python -m benchmarks.cells --write`"
    )


def test_all_cells_were_timed():
    assert cells.read_times()["ms"].keys() == cells.CELLS.keys()


KINDS = ["lstm", "layer_norm_gru", "min_gru", "lru"]


@pytest.mark.parametrize("name", [*KINDS, *in_matrix(*(c for c in cells.CELLS if c not in KINDS))])
def test_a_step_that_is_timed_has_gradients_of_everything(name, monkeypatch):
    monkeypatch.setattr(cells, "SIZE", 4)
    gradients, d_inputs = cells.make_step(name)()
    assert d_inputs.shape == (cells.NUM_STEPS, cells.BATCH_SIZE, 4)
    assert all(leaf.any() for leaf in (gradients.w_ih, gradients.b_ih, d_inputs))
