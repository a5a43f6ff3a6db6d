"""Scoring: the probability of texts under a language model.

`probability.py` scores with fixed parameters, and `mixture.py` combines the scores of two models.
"""

from jaxrnn.scoring.mixture import fit_mixture, mix
from jaxrnn.scoring.probability import Score, score

__all__ = [  # noqa: RUF022, sorted by topic
    # one model
    "score",
    "Score",
    # two models
    "fit_mixture",
    "mix",
]
