"""The gallery of `docs/cells.md`: its cells beside NumPy loops, written from the papers.

The oracles take one row after the other, one step after the other, with `x @ W` for a row x.
"""

import pickle
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix
from reference import sigmoid
from test_docs import blocks_of

import jaxrnn

T, B, D, H = 6, 4, 8, 5
HEIGHT, WIDTH, CHANNELS = 2, 4, 2
"""The frames of the ConvLSTM; D is their size with one channel."""
LENGTHS = np.array([T, 0, 4, 5])
RESETS = np.zeros((T, B), bool)
RESETS[3, 0] = RESETS[2, 2] = RESETS[0, 3] = RESETS[4, 3] = True


@pytest.fixture(scope="module")
def page():
    """A module of what the page defines, since pickled functions and classes need one."""
    module = types.ModuleType("gallery")
    sys.modules["gallery"] = module
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("JAXRNN_NATIVE", "0")  # which takes seconds to compile for each cell
        for block in blocks_of("cells.md"):
            exec(block, module.__dict__)
    yield module
    del sys.modules["gallery"]


CELLS = {
    "lstm_1997": lambda page: page.lstm_1997(H),
    "janet": lambda page: page.janet(H),
    "scrn": lambda page: page.scrn(3, 2, alpha=0.9),
    "antisymmetric": lambda page: page.antisymmetric(H, 0.3, 0.2),
    "cornn": lambda page: page.cornn(H, 0.3, 1.5, 0.7),
    "rhn": lambda page: page.rhn(H, 3),
    "mogrifier, even": lambda page: page.mogrifier_lstm(D, H, 2),
    "mogrifier, odd": lambda page: page.mogrifier_lstm(D, H, 3),
    "conv_lstm": lambda page: page.conv_lstm(HEIGHT, WIDTH, 1, CHANNELS),
}
"""Each with constants that are not its defaults."""
ELEMENTWISE = ["lstm_1997", "janet", "scrn"]


def lstm_1997(p, x, h, memory):
    """Hochreiter and Schmidhuber (1997), with the logistic functions of its appendix A.1."""
    net_in, net_c, net_out = np.split(x @ p.w_ih + p.b_ih + h @ p.w_hh, 3)
    memory = memory + sigmoid(net_in) * (4 * sigmoid(net_c) - 2)
    return sigmoid(net_out) * (2 * sigmoid(memory) - 1), memory


def janet(p, x, h):
    """Van der Westhuizen and Lasenby (2018), with beta = 1."""
    s, candidate = np.split(x @ p.w_ih + p.b_ih + h @ p.w_hh, 2)
    return (sigmoid(s) * h + (1 - sigmoid(s - 1)) * np.tanh(candidate),)


def scrn(p, x, units, alpha=0.9, num_hidden=3):
    """Mikolov et al. (2014): A, B, P and R from the matrices of which the page says what is in."""
    h, s = np.split(units, [num_hidden])
    r, p_ = p.w_hh[:num_hidden, :num_hidden], p.w_hh[num_hidden:, :num_hidden] / alpha
    b, bias_s = p.w_ih[:, num_hidden:], p.b_ih[num_hidden:]
    a = p.w_ih[:, :num_hidden] - (1 - alpha) * b @ p_
    bias_h = p.b_ih[:num_hidden] - (1 - alpha) * bias_s @ p_
    s = (1 - alpha) * (x @ b + bias_s) + alpha * s
    return (np.concatenate([sigmoid(s @ p_ + x @ a + bias_h + h @ r), s]),)


def antisymmetric(p, x, h, step_size=0.3, diffusion=0.2):
    """Chang et al. (2019)."""
    matrix = p.w_hh - p.w_hh.T - diffusion * np.eye(H)
    return (h + step_size * np.tanh(h @ matrix + x @ p.w_ih + p.b_ih),)


def cornn(p, x, y, z, dt=0.3, gamma=1.5, epsilon=0.7):
    """Rusch and Mishra (2020), with the friction of the step before."""
    (by_velocity,) = p.cell
    pushed = np.tanh(y @ p.w_hh + z @ by_velocity + x @ p.w_ih + p.b_ih)
    z = z + dt * pushed - dt * gamma * y - dt * epsilon * z
    return y + dt * z, z


def rhn(p, x, s):
    """Zilly et al. (2016), with coupled gates, whose biases are 2 below those of the page."""
    recurrent = [(p.w_hh, p.b_ih), *zip(p.cell[::2], p.cell[1::2], strict=True)]
    for layer, (matrix, bias) in enumerate(recurrent):
        h, t = np.split((x @ p.w_ih if layer == 0 else 0) + s @ matrix + bias, 2)
        s = np.tanh(h) * sigmoid(t - 2) + s * (1 - sigmoid(t - 2))
    return (s,)


def mogrifier(p, x, h, memory):
    """Melis, Kocisky and Blunsom (2019): the odd rounds scale x, the even ones h."""
    *rounds, w_x, w_h, bias = p.cell
    for number, matrix in enumerate(rounds, start=1):
        if number % 2:
            x = 2 * sigmoid(h @ matrix) * x
        else:
            h = 2 * sigmoid(x @ matrix) * h
    i, f, g, o = np.split(x @ w_x + h @ w_h + bias, 4)
    memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(memory), memory


def convolve(kernel, frame):
    """A convolution as networks use the word, with zeros around the frame; one place at a time."""
    around = kernel.shape[0] // 2
    padded = np.pad(frame, ((around, around), (around, around), (0, 0)))
    result = np.zeros((*frame.shape[:2], kernel.shape[-1]))
    for row, column in np.ndindex(*frame.shape[:2]):
        seen = padded[row : row + kernel.shape[0], column : column + kernel.shape[1]]
        result[row, column] = np.einsum("rci,rcio->o", seen, kernel)
    return result


def conv_lstm(p, x, h, memory):
    """Shi et al. (2015), equation 3."""
    kernel, bias, w_ci, w_cf, w_co = p.cell
    x, h, c = (v.reshape(HEIGHT, WIDTH, -1) for v in (x, h, memory))
    w_ci, w_cf, w_co = (w.reshape(c.shape) for w in (w_ci, w_cf, w_co))
    sums = convolve(kernel[:, :, :1], x) + convolve(kernel[:, :, 1:], h) + bias
    i, f, g, o = np.split(sums, 4, axis=-1)
    i, f = sigmoid(i + w_ci * c), sigmoid(f + w_cf * c)
    c = f * c + i * np.tanh(g)
    o = sigmoid(o + w_co * c)
    return (o * np.tanh(c)).reshape(-1), c.reshape(-1)


STEPS = {
    "lstm_1997": lstm_1997, "janet": janet, "scrn": scrn, "antisymmetric": antisymmetric,
    "cornn": cornn, "rhn": rhn, "mogrifier, even": mogrifier, "mogrifier, odd": mogrifier,
    "conv_lstm": conv_lstm,
}  # fmt: skip


def make_case(cell):
    """Random parameters, biases and peepholes included, inputs, and NaN in the padding."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: jaxrnn.recurrent(cell).init(jax.random.key(0), D))
    params = jax.tree.map(lambda leaf: 0.5 * rng.normal(size=leaf.shape), shapes)
    inputs = rng.normal(size=(T, B, D))
    inputs[np.arange(T)[:, None] >= LENGTHS] = np.nan
    return params, inputs


def run(cell, params, inputs, implementation=None):
    params = jax.tree.map(jnp.asarray, params)
    return jaxrnn.unroll(
        cell,
        params,
        jnp.asarray(inputs),
        lengths=LENGTHS,
        resets=RESETS,
        implementation=implementation,
    )


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_equals_its_paper_in_numpy(name, page, x64):
    cell = CELLS[name](page)
    params, inputs = make_case(cell)
    outputs, last = run(cell, params, inputs)
    expected = np.zeros(outputs.shape)
    for b in range(B):
        carry = start = [np.zeros(cell.hidden_size) for _ in last]
        for t in range(LENGTHS[b]):
            carry = STEPS[name](params, inputs[t, b], *(start if RESETS[t, b] else carry))
            expected[t, b] = carry[0]
        for ours, theirs in zip(last, carry, strict=True):
            np.testing.assert_allclose(ours[b], theirs, rtol=1e-12, atol=1e-12)
    # float64 sums of at most 40 terms of size 1, six steps long
    np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [*in_matrix("lstm_1997", "janet"), "scrn"])
def test_the_engines_derivative_is_that_of_jax(name, page, x64):
    cell = CELLS[name](page)
    assert isinstance(cell, jaxrnn.Cell)
    assert jaxrnn.implementations(cell)["scan"] == "available"
    params, inputs = make_case(cell)

    def gradient(implementation):
        def loss(params):
            return jnp.sin(run(cell, params, inputs, implementation)[0]).sum()

        return jax.jit(jax.grad(loss))(params)

    leaves = (jax.tree.leaves(gradient(how)) for how in ("scan", "autodiff"))
    for ours, theirs in zip(*leaves, strict=True):
        assert np.isfinite(ours).all()
        # float64 sums over 15 valid steps of terms of size 1
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_equal_sizes_are_equal_and_can_be_pickled(name, page):
    cell = CELLS[name](page)
    assert cell == CELLS[name](page) == pickle.loads(pickle.dumps(cell))
    assert hash(cell) == hash(CELLS[name](page))


def test_the_check_on_the_page_covers_every_cell(page):
    assert {cell.name for cell in page.cells} == {CELLS[name](page).name for name in CELLS}
    assert set(page.differences) == set(ELEMENTWISE)
    assert 0 < max(page.differences.values()) < 1e-4
    assert page.outputs.shape == (12, 3, 24)
