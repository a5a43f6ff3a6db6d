"""The loop over tokens: one compiled program, for all tokens at once or for one after another."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.generation.sampling import log_probability, next_token
from jaxrnn.generation.stopping import NOTHING, stop_lengths
from jaxrnn.layers import Layer
from jaxrnn.recurrence.boundaries import take_last
from jaxrnn.typing import Array, Carry, Float, Int, Key, Params


class Generated(NamedTuple):
    """Tokens that were added to prompts, a row of the batch to a column."""

    ids: Int[Array, "num_tokens B"]
    """The added tokens; 0 after the end of a row."""
    lengths: Int[Array, "B"]
    """The number of tokens added to each row, its stop sequence included."""
    stop_lengths: Int[Array, "B"]
    """The tokens of the stop sequence that ended the row, the longest if there are several; 0 if
    none did."""
    log_probabilities: Float[Array, "num_tokens B"]
    """The log-probability, in nats, of each added token given all before it, under the model's own
    distribution, whatever the temperature, top_k and top_p; 0 after the end of a row."""


class Rules(NamedTuple):
    """The rules that choose tokens and end rows, as arrays: other values reuse the same program."""

    keys: Any
    """A key per token; None takes the most likely tokens."""
    temperature: Any
    """The divisor of the logits."""
    top_p: Any
    """The total probability of the tokens to draw from."""
    stop_table: Any
    """The stop sequences `[S, L]`, from `stop_table`."""
    min_tokens: Any
    """The tokens that are added at least."""


class State(NamedTuple):
    """The state of the loop between two tokens."""

    num_added: Any
    """The number of tokens that were added to rows that have not ended."""
    logits: Any
    """The logits of the next token, `[B, V]`."""
    carry: Carry
    """The model's carry after all tokens so far."""
    recent: Any
    """The last L tokens `[L, B]`, for stop sequences of up to L."""
    generated: Generated
    """The tokens added so far."""
    finite: Any
    """Whether no logit was NaN or +inf; a model may exclude tokens with -inf, but not all."""


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def read_prompts(
    model: Layer,
    num_tokens: int,
    num_samples: int,
    longest_stop: int,
    params: Params,
    prompt_ids: Any,
    lengths: Any,
    key: Key | None,
) -> tuple[State, Any]:
    """Read the prompts, and repeat the state after each once for every sample.

    Returns:
        (the state, a key for each token to come)
    """
    batch_size = prompt_ids.shape[1]
    carry = model.initial_carry(params, batch_size)
    logits, carry = model.apply(params, prompt_ids, carry, lengths=lengths)
    after_prompts = (take_last(lengths, logits), carry)
    logits, carry = jax.tree.map(lambda leaf: leaf.repeat(num_samples, axis=0), after_prompts)
    num_rows = len(logits)
    zeros = jnp.zeros(num_rows, jnp.int32)
    ids = jnp.zeros((num_tokens, num_rows), jnp.int32)
    generated = Generated(ids, zeros, zeros, jnp.zeros(ids.shape, logits.dtype))
    recent = jnp.full((longest_stop, num_rows), NOTHING, jnp.int32)
    keys = None if key is None else jax.random.split(key, num_tokens)
    return State(jnp.int32(0), logits, carry, recent, generated, jnp.bool_(True)), keys


# The state is donated: a stream would copy all that may still come for every token.
@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnames="state")
def add_tokens(
    model: Layer, top_k: int | None, params: Params, rules: Rules, state: State, until: Any
) -> State:
    """Add tokens until there are `until` of them or all rows have ended."""

    def unfinished(state: State) -> Any:
        running = state.generated.stop_lengths == 0
        return (state.num_added < until) & running.any()

    def add_token(state: State) -> State:
        logits, position, generated = state.logits, state.num_added, state.generated
        running = generated.stop_lengths == 0
        key = None if rules.keys is None else rules.keys[position]
        token = next_token(logits, key, rules.temperature, top_k, rules.top_p)
        token = jnp.where(running, token, 0)
        nats = jnp.where(running, log_probability(logits, token), 0)
        recent = jnp.concatenate([state.recent, token[None]])[1:]
        may_end = position + 1 >= rules.min_tokens
        ended = jnp.where(may_end, stop_lengths(recent, rules.stop_table), 0)
        generated = Generated(
            generated.ids.at[position].set(token),
            generated.lengths + running.astype(jnp.int32),
            jnp.where(running, ended, generated.stop_lengths),
            generated.log_probabilities.at[position].set(nats),
        )
        finite = state.finite & (jnp.isfinite(logits.max(axis=-1)) | ~running).all()
        logits, carry = model.apply(params, token[None], state.carry)
        return State(position + 1, logits[0], carry, recent, generated, finite)

    return lax.while_loop(unfinished, add_token, state)
