"""Classifiers, regressors and taggers, against PyTorch and against each sequence alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.models import POOLING
from jaxrnn.recurrence.boundaries import Context

T, D, H, C = 7, 3, 3, 5  # D is H, so that the residual layer runs the others' programs
LENGTHS = np.array([7, 4, 1, 4])
B = len(LENGTHS)
INPUTS = np.random.default_rng(0).normal(size=(T, B, D)).astype(np.float32)
GRU = jaxrnn.recurrent(jaxrnn.gru(H))
BOTH = jaxrnn.bidirectional(GRU)
BODIES = {
    "one direction": GRU,
    "backward": jaxrnn.recurrent(jaxrnn.gru(H), reverse=True),
    "both directions": BOTH,
    "summed": jaxrnn.bidirectional(GRU, merge="sum"),
    "deep": jaxrnn.stack([BOTH, jaxrnn.dropout(0.5), jaxrnn.bidirectional(GRU)]),
    "layers on top": jaxrnn.stack([BOTH, jaxrnn.pointwise(jnp.tanh), jaxrnn.linear(6)]),
    "layers on top, nested": jaxrnn.stack(
        [BOTH, jaxrnn.stack([jaxrnn.pointwise(jnp.tanh), jaxrnn.residual(jaxrnn.linear(2 * H))])]
    ),
    "nothing but pointwise": jaxrnn.stack([jaxrnn.linear(6), jaxrnn.pointwise(jnp.tanh)]),
    "learned carry": jaxrnn.learned_initial_carry(BOTH),
    "residual": jaxrnn.residual(GRU),
}


def make(body, pooling="last", seed=0):
    model = jaxrnn.classifier(body, C, pooling=pooling)
    return model, model.init(jax.random.key(seed), D)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [*((name, "last") for name in BODIES), ("deep", "mean"), ("both directions", "max")],
)
def test_a_batch_with_padding_gives_what_each_sequence_gives_alone(name, pooling):
    model, params = make(BODIES[name], pooling)
    spoilt = np.where((np.arange(T)[:, None] < LENGTHS)[..., None], INPUTS, np.nan)

    def run(params, inputs):
        return model.apply(params, inputs, lengths=LENGTHS)[0]

    logits = run(params, spoilt)
    assert logits.shape == (B, C)
    for row, length in enumerate(LENGTHS):
        alone, _ = model.apply(params, INPUTS[:length, row : row + 1])
        np.testing.assert_allclose(logits[row], alone[0], atol=1e-6)
    grads = jax.grad(lambda *arguments: run(*arguments).sum(), (0, 1))(params, spoilt)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_how_pointwise_layers_are_nested_does_not_matter():
    top = [jaxrnn.linear(H), jaxrnn.pointwise(jnp.tanh)]
    flat, params = make(jaxrnn.stack([BOTH, *top]))
    nested, _ = make(jaxrnn.stack([BOTH, jaxrnn.stack(top)]))
    below, *above = params.body
    same = params._replace(body=(below, tuple(above)))
    expected, _ = flat.apply(params, INPUTS, lengths=LENGTHS)
    np.testing.assert_array_equal(nested.apply(same, INPUTS, lengths=LENGTHS)[0], expected)


def test_a_mean_is_over_the_steps_that_there_are():
    """Lengths above T count as T, and are not rounded in half precision."""
    model, params = make(GRU, "mean")
    run = jax.jit(lambda lengths: model.apply(params, INPUTS, lengths=lengths)[0])
    np.testing.assert_array_equal(run(LENGTHS + T), run(np.full(B, T)))
    halves, params = make(jaxrnn.pointwise(lambda x: x.astype(jnp.bfloat16)), "mean")
    ones = jnp.ones((257, 1, D))
    pooled, _ = POOLING["mean"](
        halves.body, params.body, ones, (), Context(lengths=jnp.array([257]))
    )
    assert (pooled == 1).all()


@pytest.mark.parametrize("name", ["one direction", "both directions", "deep"])
def test_the_last_is_the_final_state_of_pytorch(name):
    torch = pytest.importorskip("torch")
    directions, layers = 1 + (name != "one direction"), 1 + (name == "deep")
    module = torch.nn.GRU(D, H, layers, bidirectional=directions == 2)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(INPUTS), torch.tensor(LENGTHS), enforce_sorted=False
    )
    with torch.no_grad():
        _, final = module(packed)
    expected = torch.cat(list(final[-directions:]), dim=-1).numpy()
    from jaxrnn.interop.torch import from_torch

    body, params = from_torch(module)
    model = jaxrnn.classifier(body, C)
    head = jaxrnn.layers.LinearParams(jnp.eye(H * directions, C), jnp.zeros(C))
    logits, _ = model.apply(
        jaxrnn.models.SequenceModelParams(params, head), INPUTS, lengths=LENGTHS
    )
    np.testing.assert_allclose(logits, expected @ np.eye(H * directions, C), atol=1e-5)


def test_pooling_is_over_valid_steps():
    outputs, _ = GRU.apply(params := GRU.init(jax.random.key(0), D), INPUTS)
    head = jaxrnn.layers.LinearParams(jnp.eye(H, C), jnp.zeros(C))
    for pooling in ("mean", "max"):
        model = jaxrnn.classifier(GRU, C, pooling=pooling)
        whole = jaxrnn.models.SequenceModelParams(params, head)
        logits, _ = model.apply(whole, INPUTS, lengths=LENGTHS)
        pooled = [
            getattr(np.asarray(outputs)[:n, b], pooling)(axis=0) for b, n in enumerate(LENGTHS)
        ]
        np.testing.assert_allclose(logits[:, :H], pooled, atol=1e-6)


@pytest.mark.parametrize("body", [BOTH, jaxrnn.stack([GRU, jaxrnn.linear(H)])], ids=str)
def test_an_empty_sequence_has_the_output_of_zeros(body):
    for pooling in ("last", "mean", "max"):
        model, params = make(body, pooling)
        logits, _ = model.apply(params, INPUTS, lengths=np.array([0, 3, 0, 1]))
        np.testing.assert_allclose(logits[0], params.head.bias, atol=1e-6)
        assert np.isfinite(logits).all()


def test_a_tagger_has_an_output_at_every_step():
    model = jaxrnn.tagger(BOTH, C)
    logits, _ = model.apply(model.init(jax.random.key(0), D), INPUTS)
    assert logits.shape == (T, B, C)


def test_residual_adds_and_keeps_the_padding_zero():
    layer = jaxrnn.residual(jaxrnn.recurrent(jaxrnn.gru(D)))
    params = layer.init(jax.random.key(0), D)
    outputs, _ = layer.apply(params, INPUTS, lengths=LENGTHS)
    inner, _ = layer.layer.apply(params, INPUTS, lengths=LENGTHS)
    valid = (np.arange(T)[:, None] < LENGTHS)[..., None]
    np.testing.assert_array_equal(outputs, np.where(valid, INPUTS + inner, 0))


def test_pointwise_finds_its_output_size():
    halves = jaxrnn.pointwise(glu)
    assert halves.output_size(6) == 3
    outputs, _ = halves.apply((), jnp.ones((2, 1, 6)))
    assert outputs.shape == (2, 1, 3)
    assert halves == jaxrnn.pointwise(glu)
    assert repr(halves) == "PointwiseFunction(glu)"


def glu(inputs):
    first, second = jnp.split(inputs, 2, axis=-1)
    return first * jax.nn.sigmoid(second)


MODEL = jaxrnn.classifier(GRU, C)
WRONG = {
    "a model in a stack": (lambda: jaxrnn.stack([MODEL]), ValueError, "output at every step"),
    "a model in both directions": (
        lambda: jaxrnn.bidirectional(MODEL), ValueError, "output at every step"),
    "a step of a model": (
        lambda: jaxrnn.step(MODEL, (), INPUTS[0], ()), ValueError, "output at every step"),
    "unknown pooling": (
        lambda: jaxrnn.classifier(GRU, C, pooling="sum"), ValueError, "pooling must be one of"),
    "a cell": (
        lambda: jaxrnn.stack([jaxrnn.gru(8)]), TypeError, r"jaxrnn\.recurrent\(gru\(8\)\) is one"),
    "a cell by value": (
        lambda: jaxrnn.ModelConfig(cell=jaxrnn.gru(8)), TypeError, r"jaxrnn\.language_model\(V"),
    "no layer": (lambda: jaxrnn.classifier("gru", C), TypeError, "body must be of type Layer"),
    "no classes": (lambda: jaxrnn.classifier(GRU, 0), ValueError, "at least 1"),
    "no last step": (
        lambda: make(jaxrnn.residual(jaxrnn.recurrent(jaxrnn.gru(H + 1))))[0],
        ValueError, "as many outputs as inputs"),
    "no function": (lambda: jaxrnn.pointwise(3), TypeError, "function must be callable"),
    "a function of other shape": (
        lambda: jaxrnn.pointwise(jnp.sum).output_size(3), ValueError, "function must map"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_models_are_refused(name, as_users_run):
    call, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        call()


def test_a_layer_without_a_last_output_says_so(as_users_run):
    body = jaxrnn.residual(jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(D)), merge="sum"))
    model, params = make(body)
    with pytest.raises(ValueError, match="choose another pooling"):
        model.apply(params, INPUTS)


def test_a_mean_over_lengths_of_8_bits():
    """T is 300, which they cannot hold."""
    inputs = np.random.default_rng(0).normal(size=(300, 2, D)).astype(np.float32)
    model = jaxrnn.classifier(GRU, C, pooling="mean")
    params = model.init(jax.random.key(0), D)
    came, expected = (
        model.apply(params, inputs, lengths=np.array([40, 200], dtype))[0]
        for dtype in (np.uint8, np.int32)
    )
    np.testing.assert_allclose(came, expected, atol=1e-6)


def test_the_carries_of_a_backward_layer_are_in_the_order_of_time():
    results = []
    for pooling in ("last", "mean"):
        model = jaxrnn.classifier(BOTH, C, pooling=pooling)
        params = model.init(jax.random.key(0), D)
        _, carries = model.apply(params, INPUTS, lengths=LENGTHS, return_carries=True)
        results.append(carries)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *results)
