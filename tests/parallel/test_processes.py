"""Two processes of two devices give the numbers of one device with the same batches."""

import itertools

import jax
import numpy as np
from parallel.pair import finish, start_worker
from parallel.runs import CELLS, WINDOWS, assert_same_course, make_config, make_model, run


def test_processes_give_the_numbers_of_one_device(tmp_path, how_many, survived):
    """RNN, GRU and LSTM, both kinds of windows, by jit and by pmap, in one pair of processes."""
    every = ["-".join(words) for words in itertools.product(CELLS, WINDOWS, ("jit", "pmap"))]
    courses = how_many(["lstm-sequential-jit", "rnn-random-pmap"], every)
    pair = start_worker("courses", tmp_path, *courses)
    alone = {
        (cell, windows): run(make_model(cell), make_config(windows))
        for cell, windows, _ in (course.split("-") for course in courses)
    }
    for code, _, errors in finish(pair):
        assert code == 0, errors
    for name in courses:
        cell, windows, _ = name.split("-")
        course = alone[cell, windows]
        with np.load(tmp_path / f"{name}.npz") as saved:
            losses, *leaves = (saved[array] for array in saved.files)
        params = jax.tree.unflatten(jax.tree.structure(course[1]), leaves)
        assert_same_course((losses, params), course)
        survived("several processes: the numbers of one device", 1)
