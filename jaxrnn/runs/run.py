"""A training run, built from its settings."""

import dataclasses
import hashlib
from functools import partial

import jax

from jaxrnn.fine_tuning import grow_params
from jaxrnn.generation import generate
from jaxrnn.model_config import build_language_model
from jaxrnn.runs.digests import num_bytes
from jaxrnn.runs.record import Best, Record, TextRecord
from jaxrnn.runs.settings import Settings
from jaxrnn.runs.start import find_start
from jaxrnn.runs.texts import held_out_metrics, known_prompts, perplexity_of
from jaxrnn.training.averaging import average_of
from jaxrnn.training.memory import check_fits
from jaxrnn.training.parallel import count_devices, local
from jaxrnn.training.processes import check_alike, wait_for_all
from jaxrnn.training.train_step import TrainState, init_state
from jaxrnn.training.trainer import Progress
from jaxrnn.typing import Params


class Run:
    """One training run: its model, its texts, its samples and its held-out metrics."""

    def __init__(self, settings: Settings) -> None:
        self.start = find_start(settings)
        self.settings = settings = self.start.settings
        self.corpus, self.texts = settings.load(self.start.previous)
        settings.training.plans(len(self.texts.ids))  # raises if the text is too short
        self.vocab_size = len(self.texts.vocabulary)
        self.model = build_language_model(settings.model, self.vocab_size)
        self.optimizer = settings.training.make_optimizer(len(self.texts.ids))
        self.prompts = known_prompts(settings.prompts, type(settings)().prompts, self.texts)
        self._check_processes()
        count_devices(settings.training)  # fails now rather than after compilation
        self._check_memory()

    def _check_processes(self) -> None:
        """Raise unless all processes of the run have the same settings and texts."""
        settings = dataclasses.asdict(self.settings)
        del settings["processes"]  # these differ between processes
        vocabulary = hashlib.sha256(self.texts.vocabulary.to_json().encode()).hexdigest()
        texts = {"corpus SHA-256": self.corpus.digest, "vocabulary SHA-256": vocabulary}
        wait_for_all("the texts are there")
        check_alike(settings | texts)

    def _check_memory(self) -> None:
        """Raise if the training state does not fit in memory, instead of being killed."""
        state = jax.eval_shape(self.initial_state)
        needed = num_bytes(state.params) + num_bytes((state.params, state.opt_state, state.carry))
        check_fits(needed, "hidden_size, embedding_size, num_layers or batch_size")

    def initial_state(self) -> TrainState:
        """Return the state before the first step."""
        training, params = self.settings.training, self.start.params
        key = jax.random.key(training.seed)
        if params is not None:
            params = grow_params(self.model, params, key)
        begin = partial(
            init_state, self.model, self.optimizer, self.vocab_size, training.batch_size, key
        )
        state = begin(params)
        if training.unigram_bias and params is None:
            state = begin(self.model.with_unigram_bias(state.params, self.texts.ids))
        return state

    def record(self, progress: Progress, best: Best | None = None) -> Record:
        """Return what a checkpoint at this point of the training records."""
        settings = self.settings
        named = settings.corpus
        text = TextRecord(
            self.corpus.name if isinstance(named, str) else named,
            self.corpus.digest,
            len(self.texts.ids),
            settings.held_out_chars,
            self.texts.keep_line_breaks,
            settings.encoding,
            len(self.texts.validation.ids),
            self.texts.separate,
        )
        vocabulary = self.texts.vocabulary
        origin = self.start.origin
        return Record(settings.model, settings.training, text, vocabulary, progress, best, origin)

    def params(self, state: TrainState) -> Params:
        """Return the parameters to evaluate: the average, if one is kept."""
        average = average_of(state.opt_state)
        return state.params if average is None else average

    def samples(self, state: TrainState) -> list[str]:
        """Generate a continuation of each prompt."""
        return generate(
            self.model,
            local(self.params(state)),
            self.texts.vocabulary,
            self.prompts,
            self.settings.sample_length,
        )

    def held_out(self, state: TrainState) -> dict[str, float]:
        """Evaluate the held-out text."""
        return held_out_metrics(self.model, local(self.params(state)), self.texts)

    def validation_perplexity(self, state: TrainState) -> float | None:
        """Return the perplexity of the validation text; None if there is none."""
        return perplexity_of(self.model, local(self.params(state)), self.texts.validation)
