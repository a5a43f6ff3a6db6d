"""Streams of text, against the text that comes at once."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generation.slow_loop import VOCABULARY

import jaxrnn

HOT = jaxrnn.Sampling(temperature=1.0, top_k=5)


def stream_and_text(model, params, vocabulary, prompt, num_tokens, **options):
    (text,) = jaxrnn.generate(model, params, vocabulary, [prompt], num_tokens, **options)
    stream = jaxrnn.generate_stream(model, params, vocabulary, prompt, num_tokens, **options)
    return list(stream), text


def test_without_stop_strings_every_token_comes_by_itself(model_and_params):
    model, params = model_and_params
    for options in ({}, {"sampling": HOT, "key": jax.random.key(7)}):
        pieces, text = stream_and_text(model, params, VOCABULARY, "ab", 12, **options)
        assert "ab" + "".join(pieces) == text
        assert len(pieces) == 12


@pytest.mark.parametrize("seed", range(6))
def test_no_part_of_a_stop_string_is_shown(model_and_params, seed):
    """The pieces together are the text without it: nothing is taken back."""
    model, params = model_and_params
    options = {"stop": ["abc", "b d"], "min_tokens": seed, "sampling": HOT}
    pieces, text = stream_and_text(
        model, params, VOCABULARY, "d", 30, key=jax.random.key(seed), **options
    )
    assert "d" + "".join(pieces) == text
    assert all(pieces)


def test_what_only_looked_like_a_stop_string_is_shown_late(peaked):
    model, params, _ = peaked
    (token,) = VOCABULARY.decode([1])
    (other,) = VOCABULARY.decode([2])
    pieces, text = stream_and_text(model, params, VOCABULARY, "d", 4, stop=token * 2 + other)
    assert pieces == [token, token * 3]
    assert text == "d" + token * 4


def test_pieces_of_words_begin_with_a_space():
    vocabulary = jaxrnn.Vocabulary.of("to be or not to be", unit="word")
    model = jaxrnn.language_model(len(vocabulary), jaxrnn.recurrent(jaxrnn.rnn(3)))
    params = model.init(jax.random.key(0), len(vocabulary))
    pieces, text = stream_and_text(model, params, vocabulary, "to be", 5)
    assert "to be" + "".join(pieces) == text
    assert all(piece.startswith(" ") for piece in pieces)


@dataclass(frozen=True)
class Bytes(jaxrnn.Vocabulary):
    """Tokens that are parts of characters."""

    def encode(self, text):
        return np.array([self.tokens.index(chr(byte)) for byte in text.encode()], np.int32)

    def check_known(self, text):
        self.encode(text)

    def decode(self, ids):
        return bytes(ord(self.tokens[i]) for i in ids).decode("utf-8", "replace")


def test_characters_of_several_bytes_come_whole(peaked):
    model, params, _ = peaked
    uniform = params._replace(output=params.output._replace(bias=jnp.zeros(6)))
    tokens = tuple(map(chr, "aé我".encode()))
    vocabulary = Bytes(tokens, (1,) * 6)
    shown = ""
    for seed in range(5):
        pieces, text = stream_and_text(
            model,
            uniform,
            vocabulary,
            "我",
            30,
            sampling=jaxrnn.Sampling(1.0),
            key=jax.random.key(seed),
            stop="aé",
        )
        assert "我" + "".join(pieces) == text
        assert not any(piece.endswith("\ufffd") for piece in pieces[:-1])
        shown += "".join(pieces)
    assert {"a", "é", "\ufffd"} <= set(shown)


def test_a_stream_runs_the_program_of_the_whole_text(model_and_params):
    model, params = model_and_params
    compiled = []

    def count(event, *_, **__):
        compiled.append(event)

    options = {"sampling": HOT, "stop": "ab"}
    for seed in (0, 1):
        stream_and_text(model, params, VOCABULARY, "b", 6, key=jax.random.key(seed), **options)
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        pieces = jaxrnn.generate_stream(
            model, params, VOCABULARY, "ab", 6, key=jax.random.key(2), **options
        )
        assert "".join(pieces)
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert not [event for event in compiled if "backend_compile" in event]


def test_a_stream_reports_wrong_arguments_at_once(peaked, as_users_run):
    model, params, _ = peaked
    for message, prompt, num_tokens, options in (
        ("num_tokens must be at least 1, got 0", "a", 0, {}),
        ("at least one character, got ''", "", 2, {}),
        ("key must be given", "a", 2, {"sampling": HOT}),
        ("stop must have at least one character", "a", 2, {"stop": ""}),
    ):
        with pytest.raises(ValueError, match=message):
            jaxrnn.generate_stream(model, params, VOCABULARY, prompt, num_tokens, **options)
    broken = jax.tree.map(lambda p: p * jnp.nan, params)
    stream = jaxrnn.generate_stream(model, broken, VOCABULARY, "a", 2)
    with pytest.raises(ValueError, match="logits are not finite"):
        next(stream)
