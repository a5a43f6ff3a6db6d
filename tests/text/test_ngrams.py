"""The unigram model against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrnn.text import Vocabulary
from jaxrnn.text.ngrams import unigram_perplexity

few = settings(max_examples=50)


@few
@given(st.text("abcd 分开", min_size=1), st.data())
def test_equals_the_definition_token_by_token(text, data):
    vocabulary = Vocabulary.of(text)
    other = data.draw(st.text(vocabulary.tokens, min_size=1))
    nats = 0.0
    for character in other:
        nats -= math.log(text.count(character) / len(text))
    perplexity = unigram_perplexity(vocabulary, vocabulary.encode(other))
    np.testing.assert_allclose(perplexity, math.exp(nats / len(other)), rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 28, 1027])
def test_uniform_text_has_the_vocabulary_size(size):
    text = "".join(chr(0x4E00 + i) for i in range(size)) * 3
    vocabulary = Vocabulary.of(text)
    for other in (text, text[0], text[: size // 2 + 1]):
        perplexity = unigram_perplexity(vocabulary, vocabulary.encode(other))
        np.testing.assert_allclose(perplexity, size, rtol=1e-12)


def test_skewed_text_worked_by_hand():
    """Of aaab, a has 3/4 and b 1/4: exp(-(log 3/4 + log 1/4) / 2) = 4 / sqrt(3)."""
    vocabulary = Vocabulary.of("aaab")
    perplexity = unigram_perplexity(vocabulary, vocabulary.encode("ab"))
    np.testing.assert_allclose(perplexity, 4 / math.sqrt(3), rtol=1e-12)


def test_token_that_never_occurred_is_infinitely_unlikely():
    vocabulary = Vocabulary.of("aaab", unknown="<unk>", reserved=["<pad>"])
    ids = vocabulary.encode("abz")
    assert unigram_perplexity(vocabulary, ids) == math.inf
    assert unigram_perplexity(vocabulary, np.array([1])) == math.inf
    np.testing.assert_allclose(unigram_perplexity(vocabulary, ids[:2]), 4 / math.sqrt(3))


@few
@given(st.lists(st.tuples(st.sampled_from("abz"), st.booleans()), min_size=1))
def test_mask_leaves_tokens_out(marked):
    vocabulary = Vocabulary.of("aaab", unknown="<unk>")
    ids = vocabulary.encode("".join(character for character, _ in marked))
    mask = np.array([counts for _, counts in marked])
    masked = unigram_perplexity(vocabulary, ids, mask)
    np.testing.assert_equal(masked, unigram_perplexity(vocabulary, ids[mask]))
    everywhere = unigram_perplexity(vocabulary, ids, np.ones(len(ids), bool))
    assert everywhere == unigram_perplexity(vocabulary, ids)


def test_unknown_characters_are_masked_in_held_out_text():
    vocabulary = Vocabulary.of("aaab")
    ids, known = vocabulary.encode_known("azbz")
    np.testing.assert_allclose(unigram_perplexity(vocabulary, ids, known), 4 / math.sqrt(3))


def test_no_token_has_no_perplexity():
    vocabulary = Vocabulary.of("ab")
    assert math.isnan(unigram_perplexity(vocabulary, np.zeros(0, np.int32)))
    assert math.isnan(unigram_perplexity(vocabulary, np.zeros(2, np.int32), np.zeros(2, bool)))


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("ids", "mask", "error", "message"),
    [
        ([0, -1], None, ValueError, r"ids must lie in 0\.\.1, got -1"),
        ([0, 2], None, ValueError, r"ids must lie in 0\.\.1, got 2"),
        ([0.0, 1.0], None, TypeError, "ids must be integers, got float64"),
        ([0, 1], [True], ValueError, "mask must have"),
    ],
)
def test_refuses_what_is_no_encoded_text(ids, mask, error, message):
    """NumPy would count a negative id from the end, in silence."""
    mask = None if mask is None else np.array(mask)
    with pytest.raises(error, match=message):
        unigram_perplexity(Vocabulary.of("aab"), np.array(ids), mask)
