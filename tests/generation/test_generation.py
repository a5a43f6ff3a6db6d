"""Generation, against loops that feed the model the whole text each time."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generation.slow_loop import VOCABULARY, V, next_logits

import jaxrnn
from jaxrnn.text import UnknownTokenError

# Each number of prompts and of tokens compiles a program; most tests have these, or one prompt.
PROMPTS = ["a", "abdc", "ca b"]
NUM_TOKENS = 12


def test_greedy_generation_equals_feeding_the_whole_text_again(model_and_params):
    model, params = model_and_params
    texts = jaxrnn.generate(model, params, VOCABULARY, PROMPTS, NUM_TOKENS)
    for prompt, text in zip(PROMPTS, texts, strict=True):
        ids = VOCABULARY.encode(prompt).tolist()
        for _ in range(NUM_TOKENS):
            ids.append(next_logits(model, params, ids).argmax())
        assert text == prompt + VOCABULARY.decode(ids[len(prompt) :])


def test_of_equally_likely_tokens_the_first_is_taken(model_and_params):
    model, params = model_and_params
    flat = jax.tree.map(jnp.zeros_like, params)
    texts = jaxrnn.generate(model, flat, VOCABULARY, PROMPTS, NUM_TOKENS)
    assert texts == [prompt + VOCABULARY.decode([0] * NUM_TOKENS) for prompt in PROMPTS]


def test_a_prompt_alone_gives_what_it_gives_among_others(model_and_params):
    model, params = model_and_params
    together = jaxrnn.generate(model, params, VOCABULARY, ["ab", "a" * 20], NUM_TOKENS)
    alone = jaxrnn.generate(model, params, VOCABULARY, ["ab"], NUM_TOKENS)
    assert together[0] == alone[0]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (jaxrnn.Sampling(1.0), [0.05, 0.5, 0.3, 0.1, 0.03, 0.02]),
        (jaxrnn.Sampling(0.5), np.square([0.05, 0.5, 0.3, 0.1, 0.03, 0.02])),
        (jaxrnn.Sampling(1.0, top_k=2), [0, 0.5, 0.3, 0, 0, 0]),
        (jaxrnn.Sampling(1.0, top_p=0.79), [0, 0.5, 0.3, 0, 0, 0]),
        (jaxrnn.Sampling(1.0, top_p=0.81), [0, 0.5, 0.3, 0.1, 0, 0]),
        (jaxrnn.Sampling(1.0, top_k=3, top_p=0.4), [0, 1, 0, 0, 0, 0]),
        (jaxrnn.Sampling(1.0, top_p=0.0), [0, 1, 0, 0, 0, 0]),
        (jaxrnn.Sampling(0.0), [0, 1, 0, 0, 0, 0]),
    ],
)
def test_draws_have_the_distribution_asked_for(peaked, sampling, expected):
    model, params, _ = peaked
    prompt = np.zeros((1, 50), np.int32)
    tokens = jaxrnn.generate_ids(
        model, params, prompt, 400, sampling=sampling, key=jax.random.key(3)
    ).ids
    shares = np.bincount(np.asarray(tokens).ravel(), minlength=V) / tokens.size
    expected = np.array(expected) / np.sum(expected)
    assert not shares[expected == 0].any()
    # 20,000 draws: five standard deviations of a share are at most 5 * 0.5 / sqrt(20000) = 0.018
    np.testing.assert_allclose(shares, expected, atol=0.018)


def test_top_k_of_equal_logits_keeps_exactly_k(peaked):
    model, params, _ = peaked
    uniform = params._replace(output=params.output._replace(bias=jnp.zeros(V)))
    tokens = jaxrnn.generate_ids(
        model,
        uniform,
        np.zeros((1, 20), np.int32),
        50,
        sampling=jaxrnn.Sampling(1.0, top_k=2),
        key=jax.random.key(0),
    )
    assert len(np.unique(tokens.ids)) == 2


def test_a_temperature_near_zero_is_greedy(model_and_params):
    """1e-46 is zero in float32, and 1e-30 makes the logits overflow."""
    model, params = model_and_params
    request = model, params, VOCABULARY, ["ab"], NUM_TOKENS
    greedy = jaxrnn.generate(*request)
    for temperature in (1e-46, 1e-30, 1e-3):
        sampling = jaxrnn.Sampling(temperature)
        assert jaxrnn.generate(*request, sampling=sampling, key=jax.random.key(0)) == greedy


@pytest.mark.parametrize(
    ("message", "ids", "lengths"),
    [
        (r"lengths must lie in 1\.\.2, got 99", np.zeros((2, 1), int), np.array([99])),
        (r"lengths must lie in 1\.\.2, got 0", np.zeros((2, 1), int), np.array([0])),
        (r"lengths must have shape", np.zeros((2, 1), int), np.array([1, 1])),
        (r"prompt_ids must be \[T, B\]", np.zeros(2, int), None),
        (r"prompt_ids must be \[T, B\]", np.zeros((0, 1), int), None),
    ],
)
def test_bad_prompt_ids_are_named(peaked, message, ids, lengths, as_users_run):
    model, params, _ = peaked
    with pytest.raises(ValueError, match=message):
        jaxrnn.generate_ids(model, params, ids, 3, lengths=lengths)


@pytest.mark.parametrize("wrong", [jnp.nan, jnp.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_whose_logits_are_not_finite_gives_no_text(
    model_and_params, temperature, wrong, as_users_run
):
    model, params = model_and_params
    params = params._replace(output=jax.tree.map(lambda p: p.at[..., 0].set(wrong), params.output))
    sampling = jaxrnn.Sampling(temperature)
    request = model, params, VOCABULARY, ["ab"], NUM_TOKENS
    with pytest.raises(ValueError, match="logits are not finite: look for NaN in params"):
        jaxrnn.generate(*request, sampling=sampling, key=jax.random.key(0))


def test_a_model_that_excludes_all_tokens_gives_no_text(model_and_params, as_users_run):
    model, params = model_and_params
    bias = jnp.full_like(params.output.bias, -jnp.inf)
    params = params._replace(output=params.output._replace(bias=bias))
    with pytest.raises(ValueError, match="logits are not finite"):
        jaxrnn.generate(model, params, VOCABULARY, ["ab"], NUM_TOKENS)


def test_lengths_of_8_bits_are_those_of_long_prompts_too(model_and_params):
    model, params = model_and_params
    ids = np.zeros((200, 1), np.int32)
    came, expected = (
        jaxrnn.generate_ids(model, params, ids, 3, lengths=np.array([100], dtype)).ids
        for dtype in (np.int8, np.int32)
    )
    np.testing.assert_array_equal(came, expected)


def test_a_model_may_exclude_a_token(model_and_params):
    model, params = model_and_params
    bias = params.output.bias.at[0].set(-jnp.inf)
    params = params._replace(output=params.output._replace(bias=bias))
    texts = jaxrnn.generate(model, params, VOCABULARY, PROMPTS, NUM_TOKENS)
    for prompt, text in zip(PROMPTS, texts, strict=True):
        assert VOCABULARY.decode([0]) not in text[len(prompt) :]


def test_the_same_key_gives_the_same_text(model_and_params):
    model, params = model_and_params
    request = model, params, VOCABULARY, ["ab"], NUM_TOKENS
    texts = [
        jaxrnn.generate(*request, sampling=jaxrnn.Sampling(1.0), key=jax.random.key(seed))
        for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (UnknownTokenError, r"'x' '我'", {"prompts": ["axa我"]}),
        (ValueError, "at least one character", {"prompts": ["a", ""]}),
        (ValueError, "at least one text", {"prompts": []}),
        (ValueError, "num_tokens must be at least 1, got 0", {"num_tokens": 0}),
        (ValueError, "temperature must be at least 0, got -1", {"sampling": (-1.0, None, 1.0)}),
        (
            ValueError,
            "temperature must be at least 0, got nan",
            {"sampling": (math.nan, None, 1.0)},
        ),
        (ValueError, "top_k must be at least 1, got 0", {"sampling": (1.0, 0, 1.0)}),
        (ValueError, f"top_k must be at most {V}", {"sampling": (1.0, V + 1, 1.0)}),
        (ValueError, "top_p must be between 0 and 1", {"sampling": (1.0, None, 1.5)}),
        (ValueError, "key must be given", {"sampling": (1.0, None, 1.0)}),
        (TypeError, "temperature must be a number", {"sampling": ("hot", None, 1.0)}),
    ],
)
def test_bad_requests_are_named(peaked, error, message, change, as_users_run):
    model, params, _ = peaked
    request = {"prompts": ["a"], "num_tokens": 2, "sampling": (0.0, None, 1.0)} | change
    with pytest.raises(error, match=message):
        jaxrnn.generate(
            model,
            params,
            VOCABULARY,
            request["prompts"],
            request["num_tokens"],
            sampling=jaxrnn.Sampling(*request["sampling"]),
        )


def test_unknown_characters_on_request(model_and_params):
    model, params = model_and_params
    request = model, params, VOCABULARY, ["ax"], NUM_TOKENS
    (text,) = jaxrnn.generate(*request, allow_unknown=True)
    assert text.startswith("ax")
