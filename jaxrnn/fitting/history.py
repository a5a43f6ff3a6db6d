"""The report of a fit: one row of numbers per epoch, and their picture."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple


class History(NamedTuple):
    """The numbers of each epoch: a table with a row per epoch and named columns.

    Examples:
        >>> from jaxrnn.fitting import History
        >>> history = History(({"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}))
        >>> history.column("loss"), history.best_epoch
        ([0.5, 0.25], None)
    """

    rows: tuple[dict[str, Any], ...] = ()
    """Each row has `epoch`, `loss`, `validation_loss` and the metrics after `validation_` (or
    without it, if there are no validation data), `seconds`, and `skipped`: the number of steps
    skipped because something was not finite."""

    def column(self, name: str) -> list[float]:
        """Return the numbers of one column, such as "validation_loss".

        Raises:
            KeyError: there is no such column; the message names those that there are.
        """
        if self.rows and name not in self.rows[0]:
            raise KeyError(f"{name} is not in the history, which has {', '.join(self.rows[0])}")
        return [row[name] for row in self.rows]

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the least validation loss, the first of several; None without any."""
        losses = {
            row["epoch"]: row["validation_loss"] for row in self.rows if "validation_loss" in row
        }
        if not losses:
            return None
        return int(min(losses, key=lambda n: math.inf if math.isnan(losses[n]) else losses[n]))

    def __str__(self) -> str:
        return "\n".join(describe(row) for row in self.rows)


def describe(row: dict[str, Any]) -> str:
    """Return a row in words: "epoch 3: loss 0.512, validation_loss 0.613, 1.2 s"."""
    shown = ", ".join(f"{name} {value:.4g}" for name, value in _numbers(row))
    steps = "step" if row["skipped"] == 1 else "steps"
    skipped = f", {row['skipped']} {steps} skipped" if row["skipped"] else ""
    return f"epoch {row['epoch']}: {shown}{skipped}, {row['seconds']:.1f} s"


def _numbers(row: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the loss and the metrics of a row."""
    yield from ((k, v) for k, v in row.items() if k not in ("epoch", "seconds", "skipped"))


def plot_history(history: History) -> Any:
    """Return a matplotlib figure: loss and metrics against the epoch, the best epoch marked.

    Needs matplotlib, which is not imported otherwise.

    Raises:
        ModuleNotFoundError: it is not installed.

    Examples:
        >>> import jaxrnn
        >>> from jaxrnn.fitting import History
        >>> figure = jaxrnn.plot_history(History(({"epoch": 1, "loss": 0.5},)))
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['loss']
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("plot_history needs `pip install matplotlib`") from error

    columns = [name for name, _ in _numbers(history.rows[0])] if history.rows else ["loss"]
    names = list(dict.fromkeys(name.removeprefix("validation_") for name in columns))
    figure = Figure(figsize=(4.6 * len(names), 3.4), layout="constrained")
    epochs = [row["epoch"] for row in history.rows]
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        curves = {"training": (name, "C0-"), "validation": (f"validation_{name}", "C1--")}
        for label, (column, style) in curves.items():
            if column in columns and epochs:
                marker = "." if len(epochs) < 5 else ""
                axes.plot(epochs, history.column(column), style, marker=marker, label=label)
        if (best := history.best_epoch) is not None:
            value = history.rows[best - 1][f"validation_{name}"]
            axes.plot(best, value, "C1o", label=f"best: epoch {best}")
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        if epochs:
            axes.legend()
    return figure
