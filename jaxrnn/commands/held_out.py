"""The held-out text of a run under its network, under counts, and under both."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import jaxrnn
from jaxrnn.checks import FLOAT32_MAX, check_number, check_positive_integer
from jaxrnn.commands.progress import track
from jaxrnn.layers import Layer
from jaxrnn.losses import bits_per_character, perplexity
from jaxrnn.runs import Record, Use
from jaxrnn.runs.loading import newest_record
from jaxrnn.runs.settings import Settings
from jaxrnn.runs.summary import read_summary, write_summary
from jaxrnn.runs.texts import Evaluated, Texts, perplexity_of
from jaxrnn.scoring import dynamic_score, fit_mixture, mean_squared_gradients, mix
from jaxrnn.text.ngrams import KneserNey
from jaxrnn.training.processes import is_first, wait_for_all
from jaxrnn.typing import Params

MAX_ORDER = 20
"""The longest n-grams to count."""

GRADIENT_WINDOWS = 2_000
"""The windows of the training text that tell dynamic evaluation how large gradients are."""


@dataclass(frozen=True)
class Methods:
    """How to judge a held-out text, besides by the network as it is."""

    dynamic: bool = False
    """Also let the network learn from the text while it reads it (dynamic evaluation)."""
    dynamic_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    """Learning rates of dynamic evaluation, of which the one best on the validation text counts."""
    dynamic_decay: float = 2e-3
    """How far each step of dynamic evaluation returns towards the trained parameters."""
    dynamic_steps: int = 20
    """Characters (or words) after which dynamic evaluation takes a step."""
    kneser_ney: int | None = None
    """Also count n-grams of up to this length in the training text, by Kneser-Ney, and mix both
    models."""
    network_weight: float | None = None
    """Weight of the network in the mixture; by default it is fitted to the validation text."""

    def __post_init__(self) -> None:
        if not self.dynamic_rates:
            raise ValueError("dynamic_rates must hold at least one rate, got none")
        for rate in self.dynamic_rates:
            check_number("dynamic_rates", rate, low=0.0, high=FLOAT32_MAX)
        check_number("dynamic_decay", self.dynamic_decay, low=0.0, high=1.0)
        check_positive_integer("dynamic_steps", self.dynamic_steps)
        if self.kneser_ney is not None:
            check_positive_integer("kneser_ney", self.kneser_ney, MAX_ORDER)
        if self.network_weight is not None:
            check_number("network_weight", self.network_weight, low=0.0, high=1.0)
            if self.kneser_ney is None:
                raise ValueError("network_weight needs kneser_ney, got None")

    @property
    def chooses(self) -> bool:
        """True if a rate or a weight is chosen on the validation text."""
        fits = self.kneser_ney is not None and self.network_weight is None
        return fits or (self.dynamic and len(self.dynamic_rates) > 1)


class Judged(NamedTuple):
    """The mean cross-entropy of a held-out text, by one method."""

    method: str
    """The method, in words."""
    nats: float
    """The mean cross-entropy of a token that is scored, in nats."""

    def in_words(self) -> str:
        """Return a line with nats, bits and perplexity."""
        bits, per_token = bits_per_character(self.nats), perplexity(self.nats)
        return f"{self.method}: {self.nats:.4f} nats, {bits:.4f} bits, perplexity {per_token:.2f}"


def judge(
    model: Layer, params: Params, texts: Texts, methods: Methods = Methods()
) -> Iterator[Judged]:
    """Yield what each method gives the held-out text, as soon as it is known.

    The carry passes through the whole text.  Nothing is chosen on it: rates and weights are those
    that do best on the validation text.

    Raises:
        ValueError: the held-out text is too short, or the validation text, if one is needed.
    """
    if not texts.held_out.is_long_enough:
        raise ValueError(
            "the held-out text must hold at least two known tokens, got"
            f" {int(texts.held_out.known.sum())}: train with a larger --held-out-chars"
        )
    if methods.chooses and not texts.validation.is_long_enough:
        raise ValueError(
            "the rate of dynamic evaluation and the weight of a mixture are chosen on a validation"
            " text, of which the run has none: give a single --dynamic-rates and --network-weight,"
            " or train with --validation-chars"
        )

    def network(text: Evaluated) -> np.ndarray:
        scored = jaxrnn.score(model, params, *text)
        return _of_known(scored.token_log_probabilities, text)

    ways: dict[str, Callable[[Evaluated], np.ndarray]] = {"network": network}
    if methods.dynamic:
        dynamic = _Dynamic(model, params, texts, methods)
        ways[f"dynamic evaluation, learning rate {dynamic.rate:g}"] = dynamic
    found = {}
    for name, way in ways.items():
        found[name] = way(texts.held_out)
        yield _judged(name, found[name])
    if methods.kneser_ney is None:
        return
    model_of_counts = KneserNey(texts.ids, methods.kneser_ney, len(texts.vocabulary))

    def counts(text: Evaluated) -> np.ndarray:
        return _of_known(np.log(model_of_counts.probabilities(text.ids)[1:]), text)

    counted, order = counts(texts.held_out), f"Kneser-Ney, n = {methods.kneser_ney}"
    yield _judged(order, counted)
    for name, way in ways.items():
        weight = methods.network_weight
        if weight is None:
            weight = fit_mixture(way(texts.validation), counts(texts.validation))
        yield _judged(f"{weight:.3f} {name} + {order}", mix(found[name], counted, weight))


Estimate = Callable[[Layer, Params, Evaluated], float]
"""(model, params, text) -> nats per token, by a way of one's own."""


def judge_run(settings: Settings, methods: Methods, own: Mapping[str, Estimate] = {}) -> None:
    """Judge a finished run by its held-out text, print it, and add it to the run's summary.

    The parameters are those that did best on the validation text; without one, the average of the
    parameters, or else the last ones.

    Args:
        own: further ways to judge, by name.
    """
    if is_first():
        record = newest_record(settings.out)
        _, texts = settings.load(record)
        kept: Use = "checkpoints" if record.training.average is None else "average"
        chosen: Use = kept if record.best is None else "best"
        model, params, _ = jaxrnn.load_run(settings.out, chosen)
        print(f"held-out text: {len(texts.held_out.ids):,} tokens; parameters: {chosen}")
        found, validation = {}, perplexity_of(model, params, texts.validation)
        if validation is not None:
            print(f"network, validation text: perplexity {validation:.2f}")
        others = (
            Judged(name, estimate(model, params, texts.held_out)) for name, estimate in own.items()
        )
        for judged in itertools.chain(judge(model, params, texts, methods), others):
            print(judged.in_words(), flush=True)
            found[judged.method] = judged.nats
        more = {"validation_perplexity": validation, "held_out_nats": found}
        write_summary(settings.out, read_summary(settings.out) | more)
    wait_for_all("the summary is written")


def texts_of(record: Record) -> Texts:
    """Return the texts that a run was trained and evaluated on.

    Raises:
        ValueError: the corpus has changed, or the run's held-out text is not a part of it.
    """
    text = record.text
    settings = Settings(
        corpus=text.corpus,
        encoding=text.encoding,
        unit=record.vocabulary.unit,
        keep_line_breaks=text.keep_line_breaks,
        max_chars=text.max_chars,
        validation_chars=text.validation_chars,
        held_out_chars=text.held_out_chars,
        accept_changes=True,  # reads the text by the run's vocabulary
    )
    corpus, texts = settings.load(record)
    if corpus.digest != text.digest:
        raise ValueError(
            f"corpus {text.corpus} must have the run's SHA-256, {text.digest}, got {corpus.digest}"
        )
    if text.separate or len(texts.ids) != text.max_chars:
        raise another_file(text.corpus)
    return texts


def another_file(corpus: str | tuple[str, ...]) -> ValueError:
    """Return the error of a run whose held-out text is not the rest of its corpus."""
    return ValueError(
        f"the held-out text of a run on {corpus} is another file, not the rest of this one"
    )


class _Dynamic:
    """Dynamic evaluation at the rate that does best on the validation text."""

    def __init__(self, model: Layer, params: Params, texts: Texts, methods: Methods) -> None:
        self._model, self._params, self._methods = model, params, methods
        steps = methods.dynamic_steps
        part = texts.ids[: GRADIENT_WINDOWS * steps + 1]
        rows = min(16, max(1, (len(part) - 1) // steps))
        self._mean_squares = mean_squared_gradients(
            model, params, part, batch_size=rows, num_steps=steps
        )
        self.rate = methods.dynamic_rates[0]
        if len(methods.dynamic_rates) > 1:
            rates = track("learning rates", methods.dynamic_rates, "rate")
            nats = {rate: -self._score(texts.validation, rate).mean() for rate in rates}
            self.rate = min(nats, key=lambda rate: np.nan_to_num(nats[rate], nan=np.inf))

    def __call__(self, text: Evaluated) -> np.ndarray:
        """Return the log-probabilities of the known tokens of a text."""
        return self._score(text, self.rate)

    def _score(self, text: Evaluated, rate: float) -> np.ndarray:
        scored = dynamic_score(
            self._model,
            self._params,
            *text,
            learning_rate=rate,
            decay=self._methods.dynamic_decay,
            num_steps=self._methods.dynamic_steps,
            mean_squares=self._mean_squares,
        )
        return _of_known(scored.token_log_probabilities, text)


def _of_known(log_probabilities: Any, text: Evaluated) -> np.ndarray:
    """Return those of the known tokens, without the first token of the text."""
    return np.asarray(log_probabilities)[text.known[1:]]


def _judged(method: str, log_probabilities: np.ndarray) -> Judged:
    return Judged(method, -float(log_probabilities.mean(dtype=np.float64)))
