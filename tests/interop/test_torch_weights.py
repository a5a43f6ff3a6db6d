"""Weights and carries there and back, and where weights come from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_modules import (
    CELLS,
    MODULES,
    B,
    D,
    P,
    T,
    assert_trees_equal,
    make_layer,
    make_module,
    torch,
)

from jaxrnn.interop.torch import carry_from_torch, carry_to_torch, from_torch, to_torch


def with_summed_biases(state_dict, mode):
    """A module's state dict, converted to ours and back."""
    expected = dict(state_dict)
    for name in state_dict:
        if name.startswith("bias_hh") and mode != "GRU":
            ih = name.replace("hh", "ih")
            expected[ih] = state_dict[ih] + state_dict[name]
            expected[name] = torch.zeros_like(state_dict[name])
    return expected


modules_of_any_size = st.fixed_dictionaries(
    {
        "name": st.sampled_from(list(MODULES)),
        "sizes": st.tuples(st.integers(1, 7), st.integers(P + 1, 9)),
        "num_layers": st.integers(1, 3),
        "bidirectional": st.booleans(),
        "bias": st.booleans(),
    }
)


def test_weights_of_any_size_there_and_back(how_many):
    """A module is made again from its state dict alone, whatever its sizes."""

    @settings(max_examples=how_many(10, 30))
    @given(modules_of_any_size)
    def check(options):
        module = make_module(**options)
        state_dict = module.state_dict()
        layer, params = from_torch(
            state_dict, nonlinearity="relu" if options["name"] == "relu" else "tanh"
        )
        back = to_torch(layer, params)
        assert repr(back) == repr(module).replace(", bias=False", "")
        zeros = {name: torch.zeros_like(w) for name, w in back.state_dict().items()}
        expected = zeros | with_summed_biases(state_dict, module.mode)
        torch.testing.assert_close(dict(back.state_dict()), expected, rtol=0, atol=0)

    check()


@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
@pytest.mark.parametrize("name", CELLS)
def test_our_params_there_and_back_are_the_same_bits(name, both):
    layer = make_layer(name, num_layers=2, both=both)
    params = layer.init(jax.random.key(0), D)
    again, came = from_torch(to_torch(layer, params))
    assert again == layer
    assert_trees_equal(came, params)


def test_params_share_no_memory_with_the_weights():
    module = make_module("gru")
    layer, params = from_torch(module)
    before = jax.tree.map(np.array, params)
    arrays = {key: value.numpy() for key, value in module.state_dict().items()}
    back, of_arrays = to_torch(layer, params), from_torch(arrays)[1]
    for weight in (*module.parameters(), *back.parameters()):
        torch.nn.init.constant_(weight, 7.0)
    assert (arrays["bias_ih_l0"] == 7).all()
    for came in (params, of_arrays):
        assert_trees_equal(came, jax.tree.map(jnp.asarray, before))


def test_a_module_of_ours_learns_and_leaves_the_random_numbers_alone():
    layer = make_layer("lstm", num_layers=2)
    params = layer.init(jax.random.key(0), D)
    before = torch.get_rng_state()
    module = to_torch(layer, params)
    assert torch.equal(torch.get_rng_state(), before)
    module(torch.ones(T, B, D))[0].sum().backward()
    grads = [parameter.grad for parameter in module.parameters()]
    assert len(grads) == 8
    assert all(grad is not None and grad.abs().max() > 0 for grad in grads)
    assert all(parameter.is_contiguous() for parameter in module.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_a_carry_there_and_back(name):
    random = np.random.default_rng(0)

    def draw(like):
        return jnp.asarray(random.normal(size=like.shape), like.dtype)

    layer = make_layer(name, num_layers=3, both=True, rate=0.5)
    params = jax.tree.map(draw, jax.eval_shape(lambda: layer.init(jax.random.key(0), D)))
    carry = layer.initial_carry(params, B)
    came = carry_from_torch(layer, params, carry_to_torch(layer, params, carry))
    assert_trees_equal(came, carry)
    if name != "projected":
        carry = jax.tree.map(draw, carry)
        state = carry_to_torch(layer, params, carry)
        assert_trees_equal(carry_from_torch(layer, params, state), carry)
        arrays = jax.tree.map(lambda tensor: tensor.numpy(), state)
        assert_trees_equal(carry_from_torch(layer, params, arrays), carry)
