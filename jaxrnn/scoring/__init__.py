"""Scoring: the probability of texts under a language model."""

from jaxrnn.scoring.probability import Score, score

__all__ = ["Score", "score"]
