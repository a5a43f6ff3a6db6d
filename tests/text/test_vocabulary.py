"""Tokens and their ids: a fixed order, exact round trips, errors that name the token."""

import json
from collections import Counter

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrnn.text import UnknownTokenError, Vocabulary, tokenize

UNITS = ("character", "word")
few = settings(max_examples=60)
texts = st.text(max_size=60).filter(str.strip)
"""Text of any code points, with at least one character and one word."""


@pytest.mark.parametrize(
    ("text", "options", "tokens", "counts"),
    [
        ("cabbac c", {}, ("c", "a", "b", " "), (3, 2, 2, 1)),
        ("cabbac c", {"unknown": "<unk>"}, ("<unk>", "c", "a", "b", " "), (0, 3, 2, 2, 1)),
        ("aab", {"unknown": "<unk>", "min_count": 2}, ("<unk>", "a"), (1, 2)),
        ("aab", {"unknown": "<unk>", "min_count": 9}, ("<unk>",), (3,)),
        ("aab", {"reserved": ["<pad>", "b"]}, ("<pad>", "b", "a"), (0, 1, 2)),
        ("aab", {"reserved": ["b"], "min_count": 2}, ("b", "a"), (1, 2)),
        (
            "cabbac c",
            {"unknown": "?", "min_count": 2, "reserved": ["<pad>", "b"]},
            ("?", "<pad>", "b", "c", "a"),
            (1, 0, 2, 3, 2),
        ),
        ("aab", {"unknown": "b"}, ("b", "a"), (1, 2)),
        (" the cat\nthe\u3000dog ", {"unit": "word"}, ("the", "cat", "dog"), (2, 1, 1)),
        ("a <unk> b a", {"unit": "word", "unknown": "<unk>"}, ("<unk>", "a", "b"), (1, 2, 1)),
        (
            "a <unk> b a",
            {"unit": "word", "unknown": "<unk>", "min_count": 2},
            ("<unk>", "a"),
            (2, 2),
        ),
        ("\U0001f600\uffee晴a", {}, ("a", "晴", "\uffee", "\U0001f600"), (1, 1, 1, 1)),
    ],
)
def test_reserved_tokens_come_first_then_the_frequent_ones(text, options, tokens, counts):
    vocabulary = Vocabulary.of(text, **options)
    assert vocabulary.tokens == tokens
    assert vocabulary.counts == counts
    assert len(vocabulary) == len(tokens)
    assert all(token in vocabulary for token in tokens)
    assert "never" not in vocabulary


@few
@given(texts, st.sampled_from(UNITS), st.randoms(use_true_random=False))
def test_order_depends_on_frequencies_alone(text, unit, random):
    """By falling frequency and then by code point, wherever in the text the tokens stand."""
    vocabulary = Vocabulary.of(text, unit=unit)
    frequencies = Counter(tokenize(text, unit))
    assert dict(zip(vocabulary.tokens, vocabulary.counts, strict=True)) == frequencies
    keys = [(-frequencies[token], [ord(c) for c in token]) for token in vocabulary.tokens]
    assert keys == sorted(keys)
    shuffled = tokenize(text, unit)
    random.shuffle(shuffled)
    assert Vocabulary.of((" " if unit == "word" else "").join(shuffled), unit=unit) == vocabulary


@few
@given(texts, st.sampled_from(UNITS), st.integers(1, 4))
def test_counts_add_up_to_the_text(text, unit, min_count):
    vocabulary = Vocabulary.of(text, unit=unit, unknown="<unk>", min_count=min_count)
    ids = vocabulary.encode(text)
    assert sum(vocabulary.counts) == len(tokenize(text, unit)) == len(ids)
    assert np.bincount(ids, minlength=len(vocabulary)).tolist() == list(vocabulary.counts)


@few
@given(texts, st.sampled_from([None, "<unk>"]))
def test_characters_come_back_exactly(text, unknown):
    vocabulary = Vocabulary.of(text, unknown=unknown)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32
    assert vocabulary.decode(ids) == text


@few
@given(texts, st.sampled_from([None, "<unk>"]))
def test_words_come_back_with_single_spaces(text, unknown):
    vocabulary = Vocabulary.of(text, unit="word", unknown=unknown)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == " ".join(text.split())
    assert vocabulary.encode(vocabulary.decode(ids)).tolist() == ids.tolist()


@few
@given(texts, texts, st.sampled_from(UNITS))
def test_encode_known_tells_which_tokens_it_knows(text, other, unit):
    """The unknown token stands for the others, or the most frequent one where there is none."""
    for unknown in (None, "<unk>"):
        vocabulary = Vocabulary.of(text, unit=unit, unknown=unknown)
        ids, known = vocabulary.encode_known(other)
        tokens = tokenize(other, unit)
        assert known.tolist() == [token in vocabulary.tokens for token in tokens]
        stand_in = unknown or vocabulary.tokens[0]
        decoded = [vocabulary.tokens[i] for i in ids]
        assert decoded == [t if k else stand_in for t, k in zip(tokens, known, strict=True)]
        if unknown:
            assert vocabulary.encode(other).tolist() == ids.tolist()


def test_empty_text_encodes_to_nothing():
    vocabulary = Vocabulary.of("ab")
    ids, known = vocabulary.encode_known("")
    assert vocabulary.encode("").shape == ids.shape == known.shape == (0,)
    assert vocabulary.decode([]) == vocabulary.decode(np.zeros(0, np.int32)) == ""


@pytest.mark.parametrize(
    ("unit", "text", "shown", "hidden"),
    [
        ("character", "a分b开分", "characters .* of 2: '分' '开'$", "'a'"),
        ("character", "a\nb\t", r"characters .*: '\\n' '\\t'$", "'b'"),
        ("character", "0123456789xy", "'0' .*'9' and 2 more$", "'x'"),
        ("word", "a cat b", "words .* of 2: 'cat'$", "'a'"),
    ],
)
def test_error_names_the_unknown_tokens(unit, text, shown, hidden):
    vocabulary = Vocabulary.of("a b" if unit == "word" else "ab", unit=unit)
    with pytest.raises(UnknownTokenError, match=shown) as caught:
        vocabulary.encode(text)
    assert hidden not in str(caught.value)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(UnknownTokenError, match=shown):
        vocabulary.check_known(text)


def test_check_known_is_strict_although_a_token_stands_for_the_others():
    vocabulary = Vocabulary.of("ab", unknown="<unk>")
    assert vocabulary.decode(vocabulary.encode("acb")) == "a<unk>b"
    vocabulary.check_known("abba")
    with pytest.raises(UnknownTokenError, match="'c'"):
        vocabulary.check_known("acb")


@pytest.mark.parametrize(
    "ids",
    [[0, 1, 0], (0, 1, 0), iter([0, 1, 0]), np.array([0, 1, 0]), jnp.array([0, 1, 0])],
    ids=["list", "tuple", "iterator", "numpy", "jax"],
)
def test_decode_takes_any_integers(ids):
    assert Vocabulary.of("aab").decode(ids) == "aba"


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([0, 2], ValueError, r"ids must lie in 0\.\.1, got 2"),
        ([0, -1], ValueError, r"ids must lie in 0\.\.1, got -1"),
        (np.array([3], np.uint8), ValueError, "got 3"),
        (jnp.array([-2]), ValueError, "got -2"),
        ([0.0], TypeError, "ids must be integers, got float64"),
        (np.array([True]), TypeError, "ids must be integers, got bool"),
        (["a"], TypeError, "ids must be integers"),
        ([None], TypeError, "ids must be integers"),
    ],
)
def test_decode_refuses_what_is_no_id(ids, error, message):
    with pytest.raises(error, match=message):
        Vocabulary.of("aab").decode(ids)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("", {}, ValueError, "at least one character"),
        (" \n", {"unit": "word"}, ValueError, "at least one word"),
        ("ab", {"unit": "syllable"}, ValueError, "unit must be one of .*'syllable'"),
        ("aab", {"min_count": 2}, ValueError, "min_count = 2 .*unknown token"),
        ("ab", {"min_count": 0}, ValueError, "min_count must be at least 1, got 0"),
        ("ab", {"min_count": 1.5}, TypeError, "min_count must be an integer, got 1.5"),
        ("ab", {"min_count": True}, TypeError, "min_count must be an integer, got True"),
        ("ab", {"reserved": ["x", "x"]}, ValueError, "reserved must not name a token twice"),
        ("ab", {"reserved": ["x"], "unknown": "x"}, ValueError, "twice"),
    ],
)
def test_of_refuses_bad_arguments(text, options, error, message):
    with pytest.raises(error, match=message):
        Vocabulary.of(text, **options)


@few
@given(texts, st.sampled_from(UNITS), st.sampled_from([None, "<unk>"]), st.integers(1, 3))
def test_json_round_trip(text, unit, unknown, min_count):
    min_count = min_count if unknown else 1
    vocabulary = Vocabulary.of(text, unit=unit, unknown=unknown, min_count=min_count)
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary
    assert again.encode(text).tolist() == vocabulary.encode(text).tolist()


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", '"tokens"', "{}", "\ufeff{}"])
def test_malformed_json_is_a_value_error(text):
    with pytest.raises(ValueError, match="text must be a vocabulary as JSON"):
        Vocabulary.from_json(text)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    "change",
    [
        {"tokens": ["a"]},
        {"tokens": ["a", "a"]},
        {"tokens": "ab"},
        {"tokens": [1, 2]},
        {"tokens": [["a"], ["b"]]},
        {"counts": 3},
        {"counts": [2, 1, 1]},
        {"counts": ["2", "1"]},
        {"counts": [2, -1]},
        {"counts": [2, 1.5]},
        {"unit": "syllable"},
        {"unknown": "c"},
        {"unknown": ["a"]},
    ],
    ids=str,
)
def test_json_of_no_vocabulary_is_a_value_error(change):
    """A wrong field is an error here, not a surprise when the vocabulary is used."""
    content = json.loads(Vocabulary.of("aab").to_json()) | change
    with pytest.raises(ValueError, match=r"must be|unit"):
        Vocabulary.from_json(json.dumps(content))
