"""Scoring: the probability of texts under a language model.

`probability.py` scores with fixed parameters, and `dynamic.py` with parameters that learn from the
text, at a rate that may depend on the gradients of `gradients.py`.  `mixture.py` combines the
scores of two models.
"""

from jaxrnn.scoring.dynamic import dynamic_score
from jaxrnn.scoring.gradients import mean_squared_gradients
from jaxrnn.scoring.mixture import fit_mixture, mix
from jaxrnn.scoring.probability import Score, score

__all__ = [  # noqa: RUF022, sorted by topic
    # a model with fixed parameters
    "score",
    "Score",
    # a model that learns from the text
    "dynamic_score",
    "mean_squared_gradients",
    # two models
    "fit_mixture",
    "mix",
]
