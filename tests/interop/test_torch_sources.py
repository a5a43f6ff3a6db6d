"""Sources of PyTorch's weights, and errors for those that do not fit."""

import pickle
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_modules import CELLS, D, H, P, assert_trees_equal, make_module, raises, torch

from jaxrnn.interop.torch import from_torch, to_torch

STATE_DICT = make_module("lstm", num_layers=2).state_dict()


def without(*names, **others):
    return {k: v for k, v in STATE_DICT.items() if k not in names} | others


@pytest.mark.parametrize("name", CELLS)
def test_a_state_dict_of_tensors_or_arrays_and_a_file_are_the_module(name, tmp_path):
    module = make_module(name, num_layers=2, bidirectional=True)
    expected = from_torch(module)[1]
    state_dict = {f"encoder.rnn.{key}": value for key, value in module.state_dict().items()}
    state_dict["head.weight"] = torch.ones(3, dtype=torch.int64)
    path = tmp_path / "model.safetensors"
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file(state_dict, path)
    arrays = {key: value.numpy() for key, value in state_dict.items()}
    options = {"prefix": "encoder.rnn.", "nonlinearity": "relu" if name == "relu" else "tanh"}
    for source in (state_dict, arrays, jax.tree.map(jnp.asarray, arrays), path, str(path)):
        layer, params = from_torch(source, **options)
        assert_trees_equal(params, expected)
        assert repr(to_torch(layer, params)) == repr(module)


def test_a_file_in_bfloat16(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    module = make_module("gru").bfloat16()
    safetensors.save_file(module.state_dict(), tmp_path / "half.safetensors")
    _, params = from_torch(tmp_path / "half.safetensors")
    assert params[0].w_ih.dtype == jnp.bfloat16
    assert_trees_equal(params, from_torch(module)[1])


@pytest.mark.parametrize(
    ("state_dict", "message"),
    [
        (without("bias_hh_l1"), "the state dict do not fit: bias_hh_l1 is missing"),
        (without("weight_ih_l0"), "weight_ih_l0 is missing"),
        (without("weight_hh_l0", "bias_ih_l1"), "bias_ih_l1 is missing"),
        (without(weight_hh_l1=[1]), "weight_hh_l1 must be a tensor or an array, got list"),
        ({k: v for k, v in STATE_DICT.items() if "l0" in k} | {"bias_hh_l2": torch.ones(4 * H)},
         "weight_ih_l1 is missing; weight_hh_l1 is missing; bias_ih_l1 is missing; bias_hh_l1 is"),
        (without(weight_ih=torch.ones(3)), "weight_ih is unexpected"),
        (STATE_DICT | {"inner.bias_ih_l7": torch.ones(3)}, "do not fit: inner.bias_ih_l7 is unexp"),
        (STATE_DICT | {"weight_hh_l99999999": torch.ones(3)}, "weight_hh_l99999999 is unexpected"),
        (STATE_DICT | {3: torch.ones(3)}, "the state dict do not fit: 3 is unexpected"),
        (without(weight_hr_l0=torch.ones(P, H)), "weight_hr_l1 is missing"),
        (without(bias_hh_l1_reverse=torch.ones(4 * H)), "weight_ih_l0_reverse is missing"),
        (without(scale=torch.ones(3)), "the state dict do not fit: scale is unexpected"),
        (
            without("bias_hh_l1", bias_ih_l1=torch.ones(3), extra=torch.ones(2)),
            "bias_hh_l1 is missing; extra is unexpected; bias_ih_l1 has shape (3,), expected (24,)",
        ),
        (
            without(weight_ih_l1=torch.ones(4 * H, D)),
            "weight_ih_l1 has shape (24, 4), expected (24, 6)",
        ),
        (without(weight_ih_l0=torch.ones(3)), "weight_ih_l0 must be a matrix, got shape (3,)"),
        (
            without(weight_hh_l0=torch.ones(13, H)),
            "weight_hh_l0 must have 1 (RNN), 3 (GRU) or 4 (LSTM) times as many rows as columns, got"
            " shape (13, 6)",
        ),
        (without(weight_hh_l0=torch.ones(4, 0)), "as columns, got shape (4, 0)"),
        ({"conv.weight": torch.ones(2)}, "no weights of a recurrent module, such as weight_ih_l0"),
        ({"state_dict": STATE_DICT, "epoch": 3}, "weight_ih_l0, got state_dict, epoch"),
        ({}, "the state dict holds no weights of a recurrent module"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named(as_users_run, state_dict, message):
    with raises((ValueError, TypeError), message):
        from_torch(state_dict)


def test_all_that_is_missing_is_named_where_the_sizes_cannot_be_known():
    with pytest.raises(ValueError, match="do not fit") as caught:
        from_torch(without("weight_hh_l0", "bias_ih_l1", extra=torch.ones(2)))
    assert str(caught.value) == (
        "the weights of the state dict do not fit: weight_hh_l0 is missing; bias_ih_l1 is missing;"
        " extra is unexpected"
    )


def test_a_projection_that_does_not_fit_is_named():
    state_dict = make_module("projected").state_dict()
    with raises(ValueError, "weight_hr_l0 has shape (2, 5), expected (2, 6)"):
        from_torch(state_dict | {"weight_hr_l0": torch.ones(P, 5)})
    for rows, columns, expected in ((25, P, (24, P)), (3, P, (4, P)), (24, 0, (24, 1))):
        text = f"weight_hh_l0 has shape {(rows, columns)}, expected {expected}"
        with raises(ValueError, text):
            from_torch(state_dict | {"weight_hh_l0": torch.ones(rows, columns)})


def test_a_prefix_is_one_of_those_that_are_there():
    encoders = {f"{which}.rnn.{k}": v for which in ("a", "b") for k, v in STATE_DICT.items()}
    for prefix in ("", "a.rnn", "c."):
        text = f"prefix must be one of 'a.rnn.', 'b.rnn.' for the state dict, got {prefix!r}"
        with raises(ValueError, text):
            from_torch(encoders, prefix=prefix)
    with raises(ValueError, "prefix is for a state dict or a file: pass the inner module itself"):
        from_torch(make_module("gru"), prefix="a.")


@pytest.mark.parametrize(
    ("dtypes", "message"),
    [
        ([torch.int8], "got int8"),
        ([torch.float32, torch.float64], "got float32, float64"),
        ([torch.complex64], "got complex64"),
    ],
)
def test_types_that_are_none_of_ours_are_refused(dtypes, message):
    state_dict = dict(make_module("gru").state_dict())
    for k, name in enumerate(state_dict):
        state_dict[name] = state_dict[name].to(dtypes[k % len(dtypes)])
    text = "the weights of the state dict must share one type out of bfloat16, float16, float32,"
    with raises(TypeError, text) as caught:
        from_torch(state_dict)
    assert str(caught.value).endswith(message)


def test_float64_is_not_rounded_in_silence():
    with raises(TypeError, "the weights of this GRU are float64, which JAX supports only after"):
        from_torch(make_module("gru").double())


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "pytorch_model.bin", "model"])
def test_a_pickle_is_refused_unread(tmp_path, name):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("exploded").touch, ())

    path = tmp_path / name
    path.write_bytes(pickle.dumps(Bomb()))
    with raises(ValueError, "which can run any code when they are read") as caught:
        from_torch(path)
    assert str(path) in str(caught.value)
    text = "pass the state dict that torch.load(path, weights_only=True) returns"
    assert str(caught.value).endswith(text)
    assert not tmp_path.joinpath("exploded").exists()
    pickle.loads(path.read_bytes())
    assert tmp_path.joinpath("exploded").exists(), "the trap works"


def test_damaged_and_foreign_files_are_refused(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    path = tmp_path / "model.safetensors"
    save_file(dict(STATE_DICT), path)
    whole = path.read_bytes()
    for content in (b"", b"not safetensors at all", whole[:-1], whole + b"\0", b"\xff" + whole[1:]):
        path.write_bytes(content)
        with raises(ValueError, f"{path} is not a safetensors file, or is damaged: "):
            from_torch(path)
    path.write_bytes(whole)
    with raises(ValueError, f"prefix must be one of '' for {path}, got 'encoder.'"):
        from_torch(path, prefix="encoder.")
    with pytest.raises(FileNotFoundError, match="absent"):
        from_torch(tmp_path / "absent.safetensors")
    save_file(without("bias_hh_l1"), path)
    with raises(ValueError, f"the weights of {path} do not fit: bias_hh_l1 is missing"):
        from_torch(path)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_other_sources_are_refused():
    quantized = torch.ao.nn.quantized.dynamic
    sources = {
        "torch.nn.modules.linear.Linear": torch.nn.Linear(2, 3),
        "torch.nn.modules.container.Sequential: port its recurrent modules one by one and put"
        " their layers in a jaxrnn.stack": torch.nn.Sequential(make_module("gru")),
        f"{quantized.LSTM.__module__}.LSTM": quantized.LSTM(2, 3),
        "builtins.list": [1],
        "builtins.NoneType": None,
        "builtins.type": torch.nn.LSTM,
    }
    for name, source in sources.items():
        text = "source must be an nn.RNN, nn.GRU or nn.LSTM, or a single-step nn.RNNCell"
        with raises(TypeError, text) as caught:
            from_torch(source)
        assert str(caught.value).endswith(f"or the path of a .safetensors file, got {name}")


def test_modules_with_other_weights_are_refused():
    module = torch.nn.utils.parametrizations.weight_norm(make_module("gru"), "weight_hh_l0")
    with raises(ValueError, "weight_hh_l0 is missing; parametrizations.weight_hh_l0.original0 is"):
        from_torch(module)


def test_nonlinearity_is_one_of_two():
    with raises(ValueError, "nonlinearity must be one of 'tanh', 'relu', got 'gelu'"):
        from_torch(STATE_DICT, nonlinearity="gelu")


def test_arrays_need_neither_pytorch_nor_safetensors(monkeypatch):
    for package in ("torch", "safetensors"):
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    weights = {"weight_ih_l0": np.ones((8, 3)), "weight_hh_l0": np.ones((8, 2))}
    _, params = from_torch({name: w.astype(np.float32) for name, w in weights.items()})
    assert params[0].w_ih.shape == (3, 8)
