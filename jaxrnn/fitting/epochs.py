"""The loop over the epochs of a fit."""

import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxrnn.fitting.evaluation import evaluate_data
from jaxrnn.fitting.history import History
from jaxrnn.fitting.plans import epoch_plan
from jaxrnn.fitting.setup import Fitting
from jaxrnn.training.train_step import CAUSES, Metrics, TrainState, make_train_step
from jaxrnn.training.trainer import NonFiniteError

MAX_SKIPPED = 10
"""Steps skipped in a row after which a fit stops."""


def run_epochs(
    fitting: Fitting, state: TrainState, history: History
) -> Iterator[tuple[TrainState, History]]:
    """Train, and yield state and history after each epoch.  The next one reuses the buffers."""
    loss = fitting.functions["loss"]
    step = jax.jit(make_train_step(fitting.model, fitting.optimizer, loss), donate_argnums=0)
    skipped_in_row = 0
    while not fitting.is_over(history):
        began, number = time.perf_counter(), len(history.rows)
        reports: list[Metrics] = []
        plans = epoch_plan(
            fitting.data.lengths, fitting.lengths, fitting.batch_size, fitting.seed(number)
        )
        for plan in plans:
            batch = fitting.data.batch(plan.rows, fitting.batch_size, plan.num_steps)
            state, report = step(state, fitting.put_batch(batch))
            reports.append(report)
        each = jax.tree.map(lambda *rows: np.stack(rows), *jax.device_get(reports))
        skipped_in_row = _check_skipped(each, skipped_in_row, number + 1)
        row: dict[str, Any] = {"epoch": number + 1, "loss": _mean(each)}
        row |= _metrics(fitting, state)
        row |= {"seconds": time.perf_counter() - began, "skipped": int(each.skipped.sum())}
        history = History((*history.rows, row))
        yield state, history


def _metrics(fitting: Fitting, state: TrainState) -> dict[str, float]:
    """Return loss and metrics on the validation data, or metrics on those for training."""
    params = jax.tree.map(lambda array: array.addressable_data(0), state.params)
    if fitting.validation is not None:
        found = evaluate_data(fitting.model, params, fitting.validation, fitting.functions, 256)
        return {f"validation_{name}": value for name, value in found.items()}
    metrics = {name: f for name, f in fitting.functions.items() if name != "loss"}
    return evaluate_data(fitting.model, params, fitting.data, metrics, 256) if metrics else {}


def _mean(each: Metrics) -> float:
    """Return the mean loss of an epoch, each target weighing the same."""
    weight = float(each.weight.sum())
    return float(each.loss_sum.sum(dtype=np.float64)) / weight if weight else float("nan")


def _check_skipped(each: Metrics, before: int, epoch: int) -> int:
    """Return the length of the run of skipped steps at the end; raise if one was too long."""
    for skipped, cause in zip(each.skipped, each.cause, strict=True):
        before = before + 1 if skipped else 0
        if before >= MAX_SKIPPED:
            raise NonFiniteError(
                f"{CAUSES[int(cause)]} was not finite in {before} batches in a row, in epoch"
                f" {epoch}: try a smaller learning rate, or clip the gradient"
            )
    return before
