"""Counting models of text: the baselines that recurrent models stand beside."""

import math

import numpy as np

from jaxrnn.checks import check_ids, check_shape
from jaxrnn.text.vocabulary import Vocabulary
from jaxrnn.typing import Bool, HostArray, Int


def unigram_perplexity(
    vocabulary: Vocabulary, ids: Int[HostArray, "n"], mask: Bool[HostArray, "n"] | None = None
) -> float:
    """The perplexity of a text under the frequencies of its tokens in the vocabulary's text.

    Args:
        vocabulary: of the training text, with its counts.
        ids: the text.
        mask: True where a token counts; None means everywhere.

    Returns:
        exp(mean of -log(frequency)); infinite where a token never occurred in training.
    """
    check_ids("ids", ids, len(vocabulary))
    if mask is not None:
        check_shape("mask", mask.shape, ids.shape, "[n]")
    counts = np.array(vocabulary.counts, float)[ids if mask is None else ids[mask]]
    if counts.size == 0 or counts.min() == 0:
        return math.nan if counts.size == 0 else math.inf
    return math.exp(-np.log(counts / sum(vocabulary.counts)).mean())
