"""Stop strings and stop ids, against a loop that looks at the ends of lists."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generation.slow_loop import VOCABULARY, V, slow_generation

import jaxrnn
from jaxrnn.generation.ids import start
from jaxrnn.text import UnknownTokenError

HOT = jaxrnn.Sampling(temperature=1.0)
NUM_TOKENS = 12
PROMPTS = [[1], [2, 3, 4], [5, 1]]


def generate(model, params, prompts=PROMPTS, **options):
    lengths = np.array([len(prompt) for prompt in prompts])
    ids = np.zeros((3, len(prompts)), np.int32)
    for column, prompt in enumerate(prompts):
        ids[: len(prompt), column] = prompt
    return jaxrnn.generate_ids(model, params, ids, NUM_TOKENS, lengths=lengths, **options)


def draw_stops(generator):
    """Two sequences, of three ids and of fewer: one shape, which is compiled once."""
    longest = generator.integers(0, V, 3)
    if generator.random() < 0.3:  # one ends like the other
        return [longest, longest[-generator.integers(1, 3) :]]
    return [longest, generator.integers(0, V, generator.integers(1, 4))]


@pytest.mark.parametrize("seed", range(8))
def test_rows_end_as_in_a_loop_that_looks_at_their_ends(model_and_params, seed):
    model, params = model_and_params
    generator = np.random.default_rng(seed)
    stops, min_tokens = draw_stops(generator), int(generator.integers(0, 7))
    key = None if seed == 0 else jax.random.key(seed)
    sampling = jaxrnn.Sampling() if key is None else HOT
    came = generate(model, params, stop=stops, min_tokens=min_tokens, sampling=sampling, key=key)
    stops = [stop.tolist() for stop in stops]
    rows = slow_generation(
        model, params, PROMPTS, NUM_TOKENS, stops=stops, min_tokens=min_tokens, key=key
    )
    for column, (row, prompt) in enumerate(zip(rows, PROMPTS, strict=True)):
        added = row.ids[len(prompt) :]
        assert came.lengths[column] == len(added)
        assert came.stop_lengths[column] == len(row.stopped or ())
        padding = [0] * (NUM_TOKENS - len(added))
        assert came.ids[:, column].tolist() == added + padding
        # float32 logits of size 3 against float64 sums of them
        np.testing.assert_allclose(
            came.log_probabilities[:, column], row.nats + padding, rtol=1e-5, atol=1e-5
        )


def test_a_stop_sequence_ends_its_row_alone(model_and_params):
    model, params = model_and_params
    options = {"sampling": HOT, "key": jax.random.key(1)}
    # A stop that comes too late, of the shape of the other, so that one program serves both.
    free = generate(model, params, stop=[[0, 0]], min_tokens=NUM_TOKENS, **options)
    stop = free.ids[2:4, 1].tolist()
    came = generate(model, params, stop=[stop], **options)
    assert came.lengths[1] <= 4
    for column in range(3):
        length = came.lengths[column]
        np.testing.assert_array_equal(came.ids[:length, column], free.ids[:length, column])
        assert not came.ids[length:, column].any()
        assert not came.log_probabilities[length:, column].any()
        assert (length == NUM_TOKENS) or came.ids[length - 2 : length, column].tolist() == stop


def test_the_loop_ends_when_all_rows_have(model_and_params):
    model, params = model_and_params
    ids = np.ones((1, 2), np.int32)
    state, advance = start(
        model, params, ids, 10_000, None, HOT, jax.random.key(0), range(2), 0, num_samples=1
    )
    state = advance(state, 10_000)
    assert state.num_added == state.generated.lengths.max() < 10_000
    assert (state.generated.stop_lengths == 1).all()


def test_a_row_ends_after_min_tokens_at_the_earliest(peaked):
    model, params, _ = peaked
    for min_tokens, expected in ((0, 2), (2, 2), (3, 3), (NUM_TOKENS, NUM_TOKENS)):
        came = generate(model, params, stop=[[1, 1]], min_tokens=min_tokens)  # always token 1
        assert came.lengths.tolist() == [expected] * 3
        assert came.stop_lengths.tolist() == [2] * 3


def test_a_prompt_is_no_part_of_a_stop_sequence(peaked):
    model, params, _ = peaked
    came = generate(model, params, prompts=[[1], [1, 1], [1]], stop=[[1, 1]])
    assert came.lengths.tolist() == [2] * 3


def test_an_ended_row_may_be_of_any_value(peaked):
    """Token 0, which fills ended rows, makes the logits NaN that follow it."""
    model, params, _ = peaked
    output = params.output._replace(bias=params.output.bias.at[0].set(-jnp.inf))
    broken = params._replace(
        output=output, body=params.body._replace(w_ih=params.body.w_ih.at[0].set(jnp.nan))
    )
    came = generate(model, broken, stop=[2], sampling=HOT, key=jax.random.key(8))
    assert came.lengths.min() + 1 < came.lengths.max()
    assert np.isfinite(came.log_probabilities).all()


def test_a_stop_string_is_cut_off(peaked):
    model, params, _ = peaked
    token, never = VOCABULARY.decode([1]), VOCABULARY.decode([2] * 3)
    request = model, params, VOCABULARY, ["bd"], 5
    # Always two strings, of three characters and of fewer: one shape, which is compiled once.
    for stop in ([token, never], [token * 3, never], [token * 3, token * 2]):
        assert jaxrnn.generate(*request, stop=stop) == ["bd"]
    (text,) = jaxrnn.generate(*request, stop=[token * 2, never], min_tokens=4)
    assert text == "bd" + token * 2


def test_of_words_a_stop_string_takes_whole_words():
    vocabulary = jaxrnn.Vocabulary.of("to be or not to be to", unit="word")
    model = jaxrnn.language_model(
        len(vocabulary), jaxrnn.recurrent(jaxrnn.rnn(2)), kernel_init="zeros"
    )
    params = model.init(jax.random.key(0), len(vocabulary))
    bias = jnp.zeros(len(vocabulary)).at[vocabulary.encode("not")[0]].set(9.0)
    params = params._replace(output=params.output._replace(bias=bias))

    def continued(stop):
        return jaxrnn.generate(model, params, vocabulary, ["or"], 3, stop=stop)

    # Always two strings, of up to two words: one shape, which is compiled once.
    assert continued(["to", "be not"]) == ["or not not not"]
    assert continued(["not", "to be"]) == ["or"]
    assert continued(["not not", "to"]) == ["or"]
    with pytest.raises(UnknownTokenError, match="stop 'no' has words that are not in"):
        continued("no")


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (UnknownTokenError, "stop 'b☃' has characters .* not in the vocabulary.*: '☃'",
         {"stop": "b☃"}),
        (ValueError, "stop must have at least one character each, got ''", {"stop": ["a", ""]}),
        (TypeError, "stop must be one text or several, got 3", {"stop": ["a", 3]}),
        (TypeError, "stop must be one text or several, got 3", {"stop": 3}),
        (TypeError, "min_tokens must be an integer, got 1.5", {"min_tokens": 1.5}),
        (ValueError, "min_tokens must be between 0 and 2, the tokens to add, got -1",
         {"min_tokens": -1}),
        (ValueError, "min_tokens must be between 0 and 2, the tokens to add, got 3",
         {"min_tokens": 3}),
    ],
)  # fmt: skip
def test_wrong_stop_strings_are_named(peaked, error, message, options, as_users_run):
    model, params, _ = peaked
    with pytest.raises(error, match=message):
        jaxrnn.generate(model, params, VOCABULARY, ["a"], 2, **options)


@pytest.mark.parametrize(
    ("error", "message", "stop"),
    [
        (TypeError, "stop must be a collection of ids or of sequences of ids, got 3", 3),
        (TypeError, "stop must be integers, got <U2", ["ab"]),
        (TypeError, "stop must be integers, got float64", [1.0]),
        (ValueError, r"stop must hold sequences of at least one id, got \[\]", [[1], []]),
        (ValueError, f"stop must lie in 0..{V - 1}, got {V}", [[1, V]]),
        (ValueError, f"stop must lie in 0..{V - 1}, got -1", [-1]),
    ],
)
def test_wrong_stop_ids_are_named(peaked, error, message, stop, as_users_run):
    model, params, _ = peaked
    with pytest.raises(error, match=message):
        generate(model, params, stop=stop)
