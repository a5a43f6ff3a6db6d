"""Training on arrays and ragged lists in one call, and what comes after it.

`fitter.py` holds `fit`; `setup.py` checks its arguments, `dataset.py` sequences and targets, which
it cuts into the batches that `plans.py` chooses, `data_checks.py` compares them with the model, and
`epochs.py` is the loop.  `evaluation.py` predicts and evaluates, `history.py` keeps and draws the
numbers of the epochs, and `report.py` shows them while it runs.
"""

from jaxrnn.fitting.evaluation import evaluate, predict
from jaxrnn.fitting.fitter import fit
from jaxrnn.fitting.history import History, plot_history

__all__ = ["History", "evaluate", "fit", "plot_history", "predict"]
