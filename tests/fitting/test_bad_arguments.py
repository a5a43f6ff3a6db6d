"""Wrong arguments of `fit`: one clear error each, before anything is compiled."""

import jax
import numpy as np
import optax
import pytest

import jaxrnn
from jaxrnn import losses

T, N, D, C = 6, 5, 3, 4
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(T, N, D))
LABELS = RNG.integers(0, C, N)
LENGTHS = np.array([6, 2, 0, 3, 4])
RAGGED = [INPUTS[: max(n, 1), b] for b, n in enumerate(LENGTHS)]
GRU = jaxrnn.recurrent(jaxrnn.gru(4))
MODEL, TAGGER = jaxrnn.classifier(GRU, C), jaxrnn.tagger(GRU, C)
REGRESSOR = jaxrnn.regressor(GRU, 2)
OF_IDS = jaxrnn.classifier(jaxrnn.stack([jaxrnn.embedding(4), GRU]), C)


def spoil(array, place, value=np.nan):
    array = np.array(array, np.float64)
    array[place] = value
    return array


def fit(model=MODEL, inputs=INPUTS, targets=LABELS, optimizer=optax.sgd(0.1), **options):
    options = {"epochs": 1, "progress": False, "key": jax.random.key(0)} | options
    return jaxrnn.fit(model, optimizer, inputs, targets, **options)


CASES = {
    "ragged without lengths": (
        {"inputs": np.array([*RAGGED, 0], object)[:-1]}, TypeError, "inputs must hold numbers"),
    "lengths of a list": (
        {"inputs": RAGGED, "lengths": LENGTHS}, ValueError, "lengths must be None for a list"),
    "an empty list": ({"inputs": []}, ValueError, "inputs must hold at least one sequence"),
    "no step": ({"inputs": INPUTS[:0]}, ValueError, "at least one step"),
    "booleans as ids": (
        {"inputs": INPUTS[..., 0] > 0}, TypeError, "ids of integers, got bool"),
    "one axis": ({"inputs": INPUTS[0, 0]}, ValueError, r"inputs must be vectors \[T, N, D\]"),
    "sequences of other sizes": (
        {"inputs": [INPUTS[:, 0], INPUTS[:, 1, :2]], "targets": [0, 1]}, ValueError,
        r"inputs\[1\] must be a sequence of steps of shape \(3,\)"),
    "words": ({"inputs": [["a"], ["b"]], "targets": [0, 1]}, TypeError, "must hold numbers"),
    "integers as vectors": (
        {"inputs": np.ones((T, N, D), int)}, TypeError, "vectors of floats or ids of integers"),
    "numbers in place of vectors": (
        {"inputs": [INPUTS[:, 0, 0], INPUTS[:, 1, 0]], "targets": [0, 1]}, TypeError,
        r"float32 of shape \[\] per step: give numbers an axis of their own, sequence\[:, None\]"),
    "NaN in the inputs": (
        {"inputs": spoil(INPUTS, (2, 3))}, ValueError, "inputs must be finite.*sequence 3"),
    "a label of 64 bits": (
        {"targets": np.where(np.arange(N) == 2, 2**32 + 1, 0)},
        ValueError,
        r"targets must lie in -2147483648\.\.2147483647, got 4294967297"),
    "a label out of range": (
        {"targets": np.where(np.arange(N) == 2, C, 0)}, ValueError, r"targets must lie in 0\.\.3"),
    "a label out of range at the last step": (
        {"model": TAGGER, "targets": LABELS + C, "loss": losses.at_last_step(losses.cross_entropy)},
        ValueError, r"targets must lie in 0\.\.3"),
    "labels of floats": (
        {"targets": np.ones(N)}, TypeError, "must be classes.*float32: for numbers choose a loss"),
    "labels with an axis of their own": (
        {"targets": LABELS[:, None]}, ValueError, rf"one class for each.*got shape \({N}, 1\)"),
    "NaN among the targets": (
        {"model": REGRESSOR, "targets": spoil(np.ones((N, 2)), (4, 1)),
         "loss": losses.squared_error}, ValueError, "targets must be finite.*sequence 4"),
    "NaN among targets per step": (
        {"model": TAGGER, "targets": spoil(np.ones((T, N, C)), (0, 1, 0)),
         "loss": losses.squared_error}, ValueError, "targets must be finite.*sequence 1"),
    "targets of another batch": ({"targets": LABELS[:-1]}, ValueError, r"targets must be \[N"),
    "no targets": ({"targets": None}, TypeError, "targets must be an array or a list"),
    "numbers of another size": (
        {"model": REGRESSOR, "targets": np.ones((N, 3)), "loss": losses.squared_error}, ValueError,
        r"targets must have the shape \(1, 2\).*\(1, 3\)"),
    "one label per sequence for a tagger": (
        {"model": TAGGER}, ValueError, "targets must be classes of shape"),
    "lengths of another batch": (
        {"lengths": LENGTHS[:-1]}, ValueError, r"lengths must have shape \[B\]"),
    "lengths past the end": ({"lengths": LENGTHS + 1}, ValueError, r"lengths must lie in 0\.\.6"),
    "a mask of numbers": ({"mask": np.ones(N)}, TypeError, "mask must be bool"),
    "a mask of another shape": ({"mask": np.ones(N + 1, bool)}, ValueError, r"mask must be \[N"),
    "validation that is empty": (
        {"validation": ([], [])}, ValueError, "validation inputs must hold at least one"),
    "validation without targets": (
        {"validation": INPUTS}, TypeError, r"validation must be \(inputs, targets\)"),
    "validation of another size": (
        {"validation": (INPUTS[..., :2], LABELS)}, ValueError, "validation inputs.*size 3.*size 2"),
    "validation labels out of range": (
        {"validation": (INPUTS, LABELS + C)}, ValueError, r"validation targets must lie in 0\.\.3"),
    "validation lengths past the end": (
        {"validation": (INPUTS, LABELS, LENGTHS + 1)}, ValueError, "validation lengths must lie"),
    "parameters of another model": (
        {"params": TAGGER.init(jax.random.key(0), D)}, TypeError, "params must be"),
    "parameters of another size": (
        {"params": MODEL.init(jax.random.key(0), D + 1)}, ValueError,
        r"params.body.w_ih must have shape \(3, 12\), got \(4, 12\)"),
    "ids without their number": (
        {"inputs": np.ones((T, N), int)}, ValueError, "input_size must be given"),
    "ids out of range": (
        {"model": OF_IDS, "inputs": [[1, 2], [3, 9]], "targets": [0, 1], "input_size": 9},
        ValueError, r"inputs must lie in 0\.\.8, got 9"),
    "ids of validation out of range": (
        {"model": OF_IDS, "inputs": [[1], [3]], "targets": [0, 1], "input_size": 9,
         "validation": ([[4, -1]], [0])},
        ValueError, r"validation inputs must lie in 0\.\.8, got -1"),
    "a mask per step for a model that reads ahead": (
        {"model": jaxrnn.tagger(jaxrnn.bidirectional(GRU), C), "targets": np.ones((T, N), int),
         "mask": np.ones((T, N), bool)}, ValueError, r"mask per step needs lengths .*np\.full"),
    "another input size": ({"input_size": 7}, ValueError, "input_size must be 3"),
    "patience without validation": ({"patience": 2}, ValueError, "patience needs validation"),
    "no layer": ({"model": "gru"}, TypeError, "model must be of type Layer"),
    "no optimizer": ({"optimizer": "adam"}, TypeError, "optimizer must be one of optax's"),
    "optax.MultiSteps": (
        {"optimizer": optax.MultiSteps(optax.sgd(0.1), 2)}, TypeError,
        r"pass its gradient_transformation\(\)"),
    "no loss": ({"loss": "mse"}, TypeError, "loss must be functions"),
    "a loss without a weight": (
        {"loss": lambda outputs, batch: outputs.sum()}, TypeError, r"loss must return \(sum"),
    "two metrics of one name": (
        {"metrics": [losses.accuracy, losses.accuracy]}, ValueError, "two of accuracy"),
    "no batch": ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    "no epoch": ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    "an old key": ({"key": np.zeros(2, np.uint32)}, TypeError, r"such as jax\.random\.key\(0\)"),
    "batch-first inputs": (
        {"inputs": INPUTS.swapaxes(0, 1)}, ValueError, r"time-major \[T, N, D\], inputs.swapaxes"),
    "one sequence of a list": (
        {"inputs": list(INPUTS[:, 0]), "targets": [0] * T}, TypeError, "single sequence .* list"),
    "a cell in place of a layer": (
        {"model": jaxrnn.gru(8)}, TypeError, r"the cell gru\(8\): jaxrnn.recurrent\(gru\(8\)\)"),
    "a metric without a list": (
        {"metrics": losses.accuracy}, TypeError, r"metrics must be a list, such as \["),
    "a state in place of parameters": (
        {"params": jaxrnn.init_state(MODEL, optax.sgd(0.1), D, 1, jax.random.key(0))}, TypeError,
        r"pass state\.params"),
    "too many devices": ({"devices": 99}, ValueError, "devices must be at most"),
    "batches that devices cannot share": (
        {"devices": 2, "batch_size": 3}, ValueError, "batch_size must be a multiple of devices"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_wrong_arguments_are_named(name, as_users_run, monkeypatch):
    options, kind, message = CASES[name]
    monkeypatch.setattr(
        "jaxrnn.fitting.fitter.run_epochs", lambda *_: pytest.fail("it begins to train")
    )
    with pytest.raises(kind, match=message) as caught:
        fit(**options)
    assert "\n" not in str(caught.value)


def test_a_whole_state_is_not_taken_for_parameters(as_users_run, tmp_path):
    state = jaxrnn.init_state(REGRESSOR, optax.sgd(0.1), D, 1, jax.random.key(0))
    for call in (
        lambda: jaxrnn.predict(REGRESSOR, state, INPUTS),
        lambda: jaxrnn.save_params(tmp_path / "mine", state),
    ):
        with pytest.raises(TypeError, match=r"got a TrainState: pass state\.params"):
            call()
    assert not (tmp_path / "mine").exists()
