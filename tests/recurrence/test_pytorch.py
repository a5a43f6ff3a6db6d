"""Against PyTorch's own modules, outputs and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn

torch = pytest.importorskip("torch")

T, B, D, H = 9, 4, 5, 6
MODULES = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


def layers_of(module, cell):
    """Our parameters of each layer and direction of a module."""

    def numpy(name):
        return jnp.asarray(getattr(module, name).detach().numpy())

    suffixes = [f"l{k}{d}" for k in range(module.num_layers) for d in ("", "_reverse")]
    for suffix in suffixes[:: 1 if module.bidirectional else 2]:
        b_ih, b_hh = numpy(f"bias_ih_{suffix}"), numpy(f"bias_hh_{suffix}")
        yield jaxrnn.RecurrentParams(
            w_ih=numpy(f"weight_ih_{suffix}").T,
            w_hh=numpy(f"weight_hh_{suffix}").T,
            b_ih=b_ih if cell.hidden_bias else b_ih + b_hh,
            b_hh=b_hh if cell.hidden_bias else None,
        )


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", MODULES)
def test_outputs_and_gradients_equal_pytorch(name, num_layers, bidirectional):
    torch.manual_seed(0)
    module = MODULES[name](D, H, num_layers, bidirectional=bidirectional)
    cell = getattr(jaxrnn, name)(H)
    layer = jaxrnn.recurrent(cell)
    params = list(layers_of(module, cell))
    if bidirectional:
        layer = jaxrnn.bidirectional(layer)
        pairs = zip(params[::2], params[1::2], strict=True)
        zero = layer.init(jax.random.key(0), D)
        params = [zero._replace(forward=ahead, backward=behind) for ahead, behind in pairs]
    model = jaxrnn.stack([layer] * num_layers)

    inputs = np.random.default_rng(0).normal(size=(T, B, D)).astype(np.float32)
    theirs = torch.tensor(inputs, requires_grad=True)
    expected, _ = module(theirs)
    expected.sin().sum().backward()

    def loss(params, inputs):
        outputs, _ = model.apply(params, inputs, model.initial_carry(params, B))
        return jnp.sin(outputs).sum(), outputs

    (grads, d_inputs), outputs = jax.grad(loss, argnums=(0, 1), has_aux=True)(
        tuple(params), jnp.asarray(inputs)
    )
    # float32 in both: forward within 1e-5, gradients (sums over all steps) within 1e-4
    np.testing.assert_allclose(outputs, expected.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(d_inputs, theirs.grad.numpy(), atol=1e-4)
    first = grads[0].forward if bidirectional else grads[0]
    np.testing.assert_allclose(first.w_ih.T, module.weight_ih_l0.grad.numpy(), atol=1e-4)
    np.testing.assert_allclose(first.w_hh.T, module.weight_hh_l0.grad.numpy(), atol=1e-4)
    np.testing.assert_allclose(first.b_ih, module.bias_ih_l0.grad.numpy(), atol=1e-4)
