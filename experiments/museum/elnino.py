"""El Niño: the temperature of the eastern Pacific, forecast for twelve months with intervals.

    python -m experiments.museum elnino                 ten seconds a seed

Monthly means from 1950 to 2010 (NOAA, ERSST.V3B, Niño 1+2; public domain, in the package
statsmodels).  Learnt up to 1985, the best epoch chosen on 1986 to 1995, judged on 1996 to 2010,
which begins with the strongest El Niño of the century.  Beside it: the same month of the year
before, the month's mean, and a linear model of the last 12 months with an intercept for each month,
whose penalty is chosen on 1986 to 1995, too.  Of one short series that is all there is to know:
the linear model is a little better than the network.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np
import optax

import jaxrnn
from experiments.museum import data
from experiments.museum.row import Outcome, Row, curve
from jaxrnn import losses
from jaxrnn.typing import HostArray

YEAR, CONTEXT, AHEAD = 12, 24, 12
LEVELS = (0.05, 0.5, 0.95)
ENDS = {"learn": 1986, "choose": 1996, "judge": 2011}
"""The year in which each part ends, which does not belong to it."""


class Windows(NamedTuple):
    """Months before, and those to forecast, as deviations from the month's mean."""

    past: HostArray  # [CONTEXT, N]
    future: HostArray  # [N, AHEAD]
    naive: HostArray  # [N, AHEAD]: what the same months of the year before say
    month: HostArray  # [N]: the first month of the future, 0 to 11


def cut(temperatures: HostArray) -> tuple[dict[str, Windows], float]:
    """Return the windows of each part and the scale of their numbers, in degrees Celsius.

    Months to forecast never belong to two parts.
    """
    first_year = ENDS["judge"] - len(temperatures) // YEAR
    limits = [0, *((end - first_year) * YEAR for end in ENDS.values())]
    months = np.arange(len(temperatures)) % YEAR
    means = temperatures[: limits[1]].reshape(-1, YEAR).mean(axis=0)
    deviations = temperatures - means[months]
    scale = float(deviations[: limits[1]].std())
    parts = {}
    for name, low, high in zip(ENDS, limits[:-1], limits[1:], strict=True):
        starts = np.arange(max(low, CONTEXT), high - AHEAD + 1)
        ahead = starts[:, None] + np.arange(AHEAD)
        naive = temperatures[ahead - YEAR] - means[months[ahead]]
        past = deviations[starts + np.arange(-CONTEXT, 0)[:, None]]
        parts[name] = Windows(
            past / scale, deviations[ahead] / scale, naive / scale, months[starts]
        )
    return parts, scale


def linear_forecast(parts: dict[str, Windows]) -> HostArray:
    """Return what a ridge regression on a year says for the months that judge."""

    def columns(part: Windows) -> HostArray:
        return np.concatenate([part.past[-YEAR:].T, np.eye(YEAR)[part.month]], axis=1)

    def error(part: Windows, weights: HostArray) -> float:
        return float(np.abs(columns(part) @ weights - part.future).mean())

    x, y = columns(parts["learn"]), parts["learn"].future
    candidates = [
        np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
        for penalty in np.logspace(-2, 4, 7)
    ]
    best = min(candidates, key=functools.partial(error, parts["choose"]))
    return columns(parts["judge"]) @ best


def steps(part: Windows) -> HostArray:
    """Return the inputs `[CONTEXT, N, 13]`: the deviation, and which month it is."""
    months = (part.month + np.arange(-CONTEXT, 0)[:, None]) % YEAR
    return np.concatenate([part.past[..., None], np.eye(YEAR)[months]], axis=-1, dtype=np.float32)


def run(seed: int) -> Outcome:
    """Return the mean absolute error in degrees, and for each month ahead those of all models."""
    parts, scale = cut(data.elnino())
    judged = parts["judge"]
    body = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.gru(32)), jaxrnn.dropout(0.3)])
    num_steps = 40 * -(-len(parts["learn"].month) // 32)
    model = jaxrnn.regressor(body, num_outputs=AHEAD * len(LEVELS))
    inputs, targets = (
        {name: f(part) for name, part in parts.items()}
        for f in (steps, lambda part: part.future.astype(np.float32))
    )
    state, _ = jaxrnn.fit(
        model,
        optax.adamw(optax.cosine_decay_schedule(3e-3, num_steps), weight_decay=0.01),
        inputs["learn"],
        targets["learn"],
        loss=losses.quantile(LEVELS),
        epochs=40,
        validation=(inputs["choose"], targets["choose"]),
        key=jax.random.key(seed),
    )
    said = jaxrnn.predict(model, state.params, inputs["judge"]).reshape(-1, AHEAD, len(LEVELS))
    low, median, high = np.moveaxis(said, 2, 0)
    inside = float(((low <= judged.future) & (judged.future <= high)).mean())
    print(f"  {inside:.1%} of the months are inside the interval of 90 %")
    forecasts = {
        "GRU": median,
        "linear model": linear_forecast(parts),
        "mean of the month": np.zeros_like(judged.future),
        "as a year ago": judged.naive,
    }
    errors = {
        name: scale * np.abs(forecast - judged.future).mean(axis=0)
        for name, forecast in forecasts.items()
    }
    for name, error in errors.items():
        print(f"  {name}: mean error {error.mean():.3f} degrees")
    return Outcome(float(errors["GRU"].mean()), {name: curve(e) for name, e in errors.items()})


ROW = Row(
    "elnino",
    "El Niño: twelve months ahead, with intervals",
    "degrees, mean absolute error of the median, 1996 to 2010",
    "computed beside it: linear model 0.803, the month's mean 0.908, as a year ago 1.247",
    bar=0.908,
    higher_is_better=False,
    recipe="GRU 32 over 24 months, dropout 0.3, quantiles 5, 50 and 95 %, AdamW 3e-3, 40 epochs",
    run=run,
    picture="elnino",
    axes=("months ahead", "error, degrees Celsius"),
)
