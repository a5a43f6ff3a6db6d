"""Language models that the tests of generation and scoring share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generation.slow_loop import V
from marks import in_matrix

import jaxrnn


@pytest.fixture(scope="module", params=["one lstm", *in_matrix("rnn", "gru", "lstm")])
def model_and_params(request):
    """A model of two layers; of one it compiles faster."""
    *one, cell = request.param.split()
    config = jaxrnn.ModelConfig(
        cell=cell, num_layers=1 if one else 2, hidden_size=8, init="uniform"
    )
    model = jaxrnn.build_language_model(config, V)
    params = model.init(jax.random.key(1), V)
    return model, jax.tree.map(lambda p: 3 * p, params)  # so that the logits differ clearly


@pytest.fixture(scope="module")
def peaked():
    """A model whose every logit is known: token 1 has probability 0.5, token 2 0.3, ..."""
    probabilities = np.array([0.05, 0.5, 0.3, 0.1, 0.03, 0.02], np.float32)
    model = jaxrnn.language_model(V, jaxrnn.recurrent(jaxrnn.rnn(2)), kernel_init="zeros")
    params = model.init(jax.random.key(0), V)
    output = params.output._replace(bias=jnp.log(probabilities))
    return model, params._replace(output=output), probabilities
