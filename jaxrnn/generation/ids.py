"""Generation from prompts that are given as token ids."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.checks import (
    FLOAT32_MAX,
    check_array,
    check_positive_integer,
    check_range,
    check_shape,
    widen_ids,
)
from jaxrnn.generation.loop import Generated, Rules, State, add_tokens, read_prompts
from jaxrnn.generation.sampling import Sampling, check_sampling
from jaxrnn.generation.stopping import StopIds, check_min_tokens, stop_table
from jaxrnn.layers import Layer
from jaxrnn.layers.layer import check_layer
from jaxrnn.typing import AnyArray, Integer, Key, Params


def generate_ids(
    model: Layer,
    params: Params,
    prompt_ids: Integer[AnyArray, "T B"],
    num_tokens: int,
    *,
    lengths: Integer[AnyArray, "B"] | None = None,
    sampling: Sampling = Sampling(),
    key: Key | None = None,
    stop: StopIds = (),
    min_tokens: int = 0,
    num_samples: int = 1,
) -> Generated:
    """Continue a batch of prompts that are given as token ids.

    The loop over tokens is compiled, and ends as soon as all rows have ended.  It has no
    reverse-mode gradient: for that of log-probabilities, use `jaxrnn.score` on the same tokens.

    Args:
        model, params, num_tokens, sampling, key, min_tokens, num_samples: as for `generate`.
        prompt_ids: one prompt per column, padded at the end.
        lengths: the number of valid tokens in each prompt, at least 1; None means all.
        stop: ids that each end a row, or sequences of ids.

    Returns:
        The added tokens, their number and their log-probabilities, in a column for each prompt, or
        for each sample: those of one prompt stand side by side.

    Raises:
        ValueError: a number or id is out of range, the model is not causal or not time-major, its
            logits are NaN, or several samples are asked for at temperature 0.
        TypeError: ids are not integers, or `model` or a number has the wrong type.

    Examples:
        >>> import jax, jaxrnn
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params = model.init(jax.random.key(0), 28)
        >>> prompt_ids = jax.numpy.array([[3, 1], [4, 1]])
        >>> jaxrnn.generate_ids(model, params, prompt_ids, num_tokens=5).ids.shape
        (5, 2)
        >>> everything = range(28)  # whatever is drawn ends a row
        >>> stopped = jaxrnn.generate_ids(model, params, prompt_ids, 5, stop=everything)
        >>> stopped.lengths.tolist()
        [1, 1]
    """
    state, advance = start(
        model, params, prompt_ids, num_tokens, lengths, sampling, key, stop, min_tokens, num_samples
    )
    return advance(state, num_tokens).generated


def start(
    model: Layer,
    params: Params,
    prompt_ids: Integer[AnyArray, "T B"],
    num_tokens: int,
    lengths: Integer[AnyArray, "B"] | None,
    sampling: Sampling,
    key: Key | None,
    stop: StopIds,
    min_tokens: int,
    num_samples: int,
) -> tuple[State, Callable[[State, int], State]]:
    """Check the arguments of `generate_ids`, and read the prompts.

    Returns:
        (the state after the prompts, a function that adds tokens until there are so many)
    """
    check_layer("model", model)
    check_positive_integer("num_tokens", num_tokens)
    if not model.causal:
        raise ValueError("model must be causal: one that sees the future cannot continue a text")
    vocab_size = model.output_size(0)
    prompt_ids = widen_ids("prompt_ids", prompt_ids, vocab_size)
    if prompt_ids.ndim != 2 or 0 in prompt_ids.shape:
        raise ValueError(f"prompt_ids must be [T, B] and not empty, got shape {prompt_ids.shape}")
    check_sampling(sampling, key, num_samples, vocab_size)
    check_min_tokens(min_tokens, num_tokens)
    num_steps, batch_size = prompt_ids.shape
    if lengths is None:
        lengths = np.full(batch_size, num_steps, np.int32)
    check_array("lengths", lengths)
    check_shape("lengths", lengths.shape, (batch_size,), "[B]")
    check_range("lengths", lengths, num_steps, low=1)
    stops = stop_table(stop, vocab_size)
    state, keys = read_prompts(
        model,
        num_tokens,
        num_samples,
        stops.shape[1],
        params,
        jnp.asarray(prompt_ids),
        jnp.asarray(lengths),
        None if sampling.greedy else key,
    )
    temperature = np.float32(min(sampling.temperature, FLOAT32_MAX))
    rules = Rules(keys, temperature, np.float32(sampling.top_p), stops, np.int32(min_tokens))
    return state, functools.partial(_advance, model, sampling.top_k, params, rules)


def _advance(
    model: Layer, top_k: int | None, params: Params, rules: Rules, state: State, until: int
) -> State:
    state = add_tokens(model, top_k, params, rules, state, np.int32(until))
    if not isinstance(state.finite, jax.core.Tracer) and not state.finite:
        raise ValueError("the model's logits are not finite: look for NaN in params")
    return state
