"""Six cells that no library has kernels for: equations written once, run by four libraries.

Each library gets the cell as its users would write it: a `Cell` here, an `RNNCellBase` in Flax, an
`RNNCore` in Haiku, and in PyTorch a loop over time behind one product for all inputs.
"""

import types
from collections import namedtuple
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jaxrnn


class OwnCell(NamedTuple):
    """A cell's equations, for any library whose arrays multiply and add."""

    gates: tuple[str, ...]
    state: tuple[str, ...]
    """Names of the arrays that are carried; the first is the output."""
    update: Callable[..., tuple[Any, ...]]
    """(functions, unit_params, input_gates, hidden_gates, state) -> state."""
    unit_params: tuple[str, ...] = ()
    """Names of the parameters `[H]` besides the matrices and biases."""
    hidden_bias: bool = False
    """Whether the recurrent product has a bias, too: only where it is not simply added."""


def mgu(fn: Any, _: Any, i: Any, h: Any, state: Any) -> Any:
    """Zhou et al., Minimal gated unit for recurrent neural networks, 2016, arXiv:1603.09420."""
    (hidden,) = state
    forget = fn.sigmoid(i[0] + h[0])
    candidate = fn.tanh(i[1] + forget * h[1])
    return ((1 - forget) * hidden + forget * candidate,)


def peephole_lstm(fn: Any, peepholes: Any, i: Any, h: Any, state: Any) -> Any:
    """Gers and Schmidhuber, Recurrent nets that time and count, 2000."""
    _, memory = state
    p_input, p_forget, p_output = peepholes
    input_ = fn.sigmoid(i[0] + h[0] + p_input * memory)
    forget = fn.sigmoid(i[1] + h[1] + p_forget * memory)
    memory = forget * memory + input_ * fn.tanh(i[2] + h[2])
    output = fn.sigmoid(i[3] + h[3] + p_output * memory)
    return output * fn.tanh(memory), memory


def cifg_lstm(fn: Any, _: Any, i: Any, h: Any, state: Any) -> Any:
    """Greff et al., LSTM: a search space odyssey, 2015, arXiv:1503.04069: coupled gates."""
    _, memory = state
    forget, output = fn.sigmoid(i[0] + h[0]), fn.sigmoid(i[2] + h[2])
    memory = forget * memory + (1 - forget) * fn.tanh(i[1] + h[1])
    return output * fn.tanh(memory), memory


def chrono_lstm(fn: Any, log_times: Any, i: Any, h: Any, state: Any) -> Any:
    """Tallec and Ollivier, Can recurrent neural networks warp time?, 2018, arXiv:1804.11188.

    Each unit learns the logarithm of how long it remembers, which both gates use.
    """
    _, memory = state
    (log_time,) = log_times
    input_ = fn.sigmoid(i[0] + h[0] - log_time)
    forget = fn.sigmoid(i[1] + h[1] + log_time)
    memory = forget * memory + input_ * fn.tanh(i[2] + h[2])
    return fn.sigmoid(i[3] + h[3]) * fn.tanh(memory), memory


def output_gated_gru(fn: Any, _: Any, i: Any, h: Any, state: Any) -> Any:
    """A GRU whose third gate decides what of its memory is seen."""
    _, memory = state
    reset, update, output = (fn.sigmoid(i[gate] + h[gate]) for gate in range(3))
    candidate = fn.tanh(i[3] + reset * h[3])
    memory = (1 - update) * candidate + update * memory
    return output * memory, memory


def gated_oscillator(fn: Any, unit_params: Any, i: Any, h: Any, state: Any) -> Any:
    """Damped oscillators driven by the input, whose pace is a gate: a cell of our own.

    Rusch and Mishra's coupled oscillators (2021, arXiv:2010.00951) have a constant pace.
    """
    position, velocity = state
    stiffness, damping = unit_params
    pace = fn.sigmoid(i[0] + h[0])
    force = fn.tanh(i[1] + h[1]) - stiffness * position - damping * velocity
    velocity = velocity + pace * force
    return position + pace * velocity, velocity


OWN_CELLS = {
    "MGU": OwnCell(("forget", "candidate"), ("hidden",), mgu, hidden_bias=True),
    "peephole LSTM": OwnCell(
        ("input", "forget", "candidate", "output"),
        ("hidden", "memory"),
        peephole_lstm,
        ("input", "forget", "output"),
    ),
    "CIFG LSTM": OwnCell(("forget", "candidate", "output"), ("hidden", "memory"), cifg_lstm),
    "chrono LSTM": OwnCell(
        ("input", "forget", "candidate", "output"), ("hidden", "memory"), chrono_lstm, ("log_time",)
    ),
    "output-gated GRU": OwnCell(
        ("reset", "update", "output", "candidate"),
        ("hidden", "memory"),
        output_gated_gru,
        hidden_bias=True,
    ),
    "gated oscillator": OwnCell(
        ("pace", "force"), ("hidden", "velocity"), gated_oscillator, ("stiffness", "damping")
    ),
}

INITIAL_UNIT_PARAM = 0.1
JAX_FUNCTIONS = types.SimpleNamespace(sigmoid=jax.nn.sigmoid, tanh=jnp.tanh)


def our_cell(own: OwnCell) -> Callable[[int], jaxrnn.Cell]:
    """Return the maker of the cell in this library, as a function of `hidden_size`."""
    make_type: Any = namedtuple  # for mypy, which knows no names that are data
    carry_type = make_type("OwnCarry", own.state)

    def update(unit_params: Any, i: Any, h: Any, carry: Any) -> Any:
        return carry_type(*own.update(JAX_FUNCTIONS, unit_params, i, h, carry))

    return lambda hidden_size: jaxrnn.Cell(
        own.update.__name__,
        hidden_size,
        gates=own.gates,
        initial_carry=jaxrnn.zero_carry(carry_type, hidden_size),
        init_params=lambda key: tuple(
            jnp.full(hidden_size, INITIAL_UNIT_PARAM) for _ in own.unit_params
        ),
        hidden_bias=own.hidden_bias,
        update=update,
    )


def flax_cell(own: OwnCell) -> Any:
    """Return the class of the cell for Flax nnx."""
    from flax import nnx

    class FlaxCell(nnx.RNNCellBase):
        def __init__(self, size: int, hidden_size: int, rngs: Any) -> None:
            gates = len(own.gates) * hidden_size
            self.hidden_size = hidden_size
            self.dense_i = nnx.Linear(size, gates, rngs=rngs)
            self.dense_h = nnx.Linear(hidden_size, gates, use_bias=own.hidden_bias, rngs=rngs)
            initial = jnp.full((len(own.unit_params), hidden_size), INITIAL_UNIT_PARAM)
            self.unit_params = nnx.Param(initial)

        def __call__(self, carry: Any, inputs: Any) -> Any:
            i, h = (
                jnp.split(gates, len(own.gates), axis=-1)
                for gates in (self.dense_i(inputs), self.dense_h(carry[0]))
            )
            carry = own.update(JAX_FUNCTIONS, tuple(self.unit_params[...]), i, h, carry)
            return carry, carry[0]

        def initialize_carry(self, input_shape: Any, *_: Any, **__: Any) -> Any:
            shape = (*input_shape[:-1], self.hidden_size)
            return tuple(jnp.zeros(shape) for _ in own.state)

        @property
        def num_feature_axes(self) -> int:
            return 1

    return FlaxCell


def haiku_core(own: OwnCell) -> Any:
    """Return the class of the cell for Haiku."""
    import haiku as hk

    class HaikuCore(hk.RNNCore):
        def __init__(self, hidden_size: int) -> None:
            super().__init__()
            self.hidden_size = hidden_size

        def __call__(self, inputs: Any, state: Any) -> Any:
            gates = len(own.gates) * self.hidden_size
            i, h = (
                jnp.split(hk.Linear(gates, with_bias)(operand), len(own.gates), axis=-1)
                for operand, with_bias in ((inputs, True), (state[0], own.hidden_bias))
            )
            shape, initial = (self.hidden_size,), hk.initializers.Constant(INITIAL_UNIT_PARAM)
            unit_params = [hk.get_parameter(name, shape, init=initial) for name in own.unit_params]
            state = own.update(JAX_FUNCTIONS, unit_params, i, h, state)
            return state[0], state

        def initial_state(self, batch_size: Any) -> Any:
            return tuple(jnp.zeros((batch_size, self.hidden_size)) for _ in own.state)

    return HaikuCore


def torch_layer(own: OwnCell) -> Any:
    """Return the class of the layer for PyTorch: one product for all inputs, then a loop."""
    import torch

    class TorchLayer(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self, size: int, hidden_size: int, num_layers: int) -> None:
            super().__init__()
            assert num_layers == 1
            gates = len(own.gates) * hidden_size
            self.hidden_size = hidden_size
            self.dense_i = torch.nn.Linear(size, gates)
            self.dense_h = torch.nn.Linear(hidden_size, gates, bias=own.hidden_bias)
            initial = torch.full((len(own.unit_params), hidden_size), INITIAL_UNIT_PARAM)
            self.unit_params = torch.nn.Parameter(initial)

        def forward(self, x: Any, carry: Any = None) -> Any:
            if carry is None:
                carry = tuple(x.new_zeros(x.shape[1], self.hidden_size) for _ in own.state)
            unit_params, outputs = self.unit_params.unbind(), []
            for gates in self.dense_i(x):
                i = gates.chunk(len(own.gates), dim=-1)
                h = self.dense_h(carry[0]).chunk(len(own.gates), dim=-1)
                carry = own.update(torch, unit_params, i, h, carry)
                outputs.append(carry[0])
            return torch.stack(outputs), carry

    return TorchLayer
