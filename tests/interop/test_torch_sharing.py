"""Modules and weights of PyTorch that serve twice become copies."""

import jax.numpy as jnp
import numpy as np
import pytest
from torch_modules import MODULES, B, H, T, assert_trees_equal, make_module, torch

import jaxrnn
from jaxrnn.interop.torch import from_torch

INPUTS = np.random.default_rng(0).normal(size=(T, B, H)).astype(np.float32)


def run(layer, params):
    outputs, _ = layer.apply(params, jnp.asarray(INPUTS), layer.initial_carry(params, B))
    return outputs


@pytest.mark.parametrize("name", [name for name in MODULES if name != "projected"])
def test_a_module_that_stands_upon_itself_is_a_stack_of_two_copies(name):
    module = make_module(name, sizes=(H, H))
    nonlinearity = "relu" if name == "relu" else "tanh"
    state_dict = torch.nn.Sequential(module, module).state_dict()
    with torch.no_grad():
        expected = module(module(torch.tensor(INPUTS))[0])[0]
    by_module = [from_torch(module)] * 2
    by_name = [from_torch(state_dict, prefix=p, nonlinearity=nonlinearity) for p in ("0.", "1.")]
    for pairs in (by_module, by_name):
        layers, params = zip(*pairs, strict=True)
        # float32, 5 steps twice
        np.testing.assert_allclose(run(jaxrnn.stack(layers), params), expected, atol=1e-5)


def test_directions_and_layers_may_share_weights():
    module = make_module("gru", sizes=(H, H), num_layers=2)
    module.weight_hh_l1 = module.weight_hh_l0
    both = make_module("lstm", sizes=(H, H), bidirectional=True)
    both.bias_ih_l0_reverse = both.bias_ih_l0
    for shared in (module, both):
        with torch.no_grad():
            expected, _ = shared(torch.tensor(INPUTS))
        np.testing.assert_allclose(run(*from_torch(shared)), expected, atol=1e-5)


def saved(model, path):
    """Save by the one function of safetensors that takes tensors which share memory."""
    pytest.importorskip("safetensors.torch").save_model(model, str(path))
    return path


def test_a_file_stores_a_module_once_that_a_model_has_twice(tmp_path):
    module = make_module("lstm")
    path = saved(torch.nn.Sequential(module, module), tmp_path / "model.safetensors")
    for prefix in ("0.", "1."):
        assert_trees_equal(from_torch(path, prefix=prefix)[1], from_torch(module)[1])
    with pytest.raises(ValueError, match=r"prefix must be one of '0\.', '1\.' for .*, got '2\.'"):
        from_torch(path, prefix="2.")


def test_a_file_stores_a_weight_once_that_a_module_has_twice(tmp_path):
    module = make_module("gru", bidirectional=True)
    module.weight_hh_l0_reverse = module.weight_hh_l0
    path = saved(module, tmp_path / "model.safetensors")
    assert_trees_equal(from_torch(path)[1], from_torch(module)[1])


def test_metadata_adds_no_weights_and_changes_none(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    state_dict = make_module("gru").state_dict()
    metadata = {"format": "pt", "bias_ih_l0": "bias_hh_l0", "bias_ih_l1": "bias_hh_l1"}
    path = tmp_path / "model.safetensors"
    save_file(state_dict, path, metadata=metadata)
    assert_trees_equal(from_torch(path)[1], from_torch(state_dict)[1])
