"""A training run: its settings, its model and texts, and what is reported of them."""

import dataclasses
import hashlib
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import jax

import jaxrnn
from experiments.processes import Processes
from experiments.texts import (
    BOOK,
    Texts,
    held_out_metrics,
    known_prompts,
    open_tokens,
    prepare_texts,
    read_corpus,
)
from jaxrnn.checks import check_number, check_positive_integer
from jaxrnn.text import Corpus, Unit, UnknownTokenError
from jaxrnn.text.token_file import open_token_file
from jaxrnn.training import (
    Best,
    CheckpointError,
    Checkpoints,
    CheckpointWarning,
    Progress,
    Record,
    TextRecord,
    TrainConfig,
    TrainState,
)
from jaxrnn.training.integrity import num_bytes, physical_memory
from jaxrnn.training.parallel import count_devices, local
from jaxrnn.training.processes import check_alike, wait_for_all

MAX_TO_GENERATE = 1_000_000
"""Characters (or words) that a command adds to a text: seconds of work, and no more."""


@dataclass(frozen=True)
class Settings:
    """Every setting of a run."""

    model: jaxrnn.ModelConfig = field(default_factory=jaxrnn.ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    corpus: str = "jaychou"
    """What to train on: jaychou, time_machine, songs (comes with the package), the path of a .txt
    or .zip file, or the folder that experiments.tokenize made of a larger one."""
    unit: Unit = "character"
    """What a token is."""
    keep_line_breaks: bool | None = None
    """Whether line breaks are tokens to be learnt; else they become spaces.  By default they are in
    texts of your own, not in the book's; a run that is resumed does as it did."""
    max_chars: int = 10_000
    """Characters (or words) to train on, from the beginning."""
    held_out_chars: int = 2_000
    """Characters (or words) after those, for the held-out perplexity."""
    prompts: tuple[str, ...] = ()
    """Beginnings of the samples; without any, the beginning of the text."""
    sample_every: int = 50
    """Epochs between two reports with samples."""
    sample_length: int = 50
    """Characters (or words) of a sample, after its prompt."""
    out: Path = Path("runs/train")
    """Folder of the run."""
    resume: bool = False
    """Go on from the newest checkpoint in --out."""
    accept_changes: bool = False
    """With --resume: go on although corpus, settings or devices are not those of the checkpoint."""
    save_every: float = 10.0
    """Seconds between two checkpoints."""
    processes: Processes = field(default_factory=Processes)
    compilation_cache: Path | None = None
    """Folder that keeps compiled programs, so that the next run of these sizes starts sooner.  Of
    several processes the first one writes there, and all read."""

    def __post_init__(self) -> None:
        for name in ("max_chars", "sample_every"):
            check_positive_integer(name, getattr(self, name))
        check_positive_integer("sample_length", self.sample_length, MAX_TO_GENERATE)
        for name in ("held_out_chars", "save_every"):
            check_number(name, getattr(self, name), low=0)

    def vocabulary_of(self, resumed: Record | None) -> jaxrnn.Vocabulary | None:
        """The vocabulary that reads the text of a run which goes on with changes.

        Another text's own would give the ids, and so the rows of the weights, another meaning.
        """
        return resumed.vocabulary if resumed and self.accept_changes else None

    def load(self, resumed: Record | None = None) -> tuple[Corpus, Texts]:
        """The corpus, and what to train on and to be judged by.

        Args:
            resumed: of a run that goes on.

        Raises:
            ValueError: the text cannot be had, or holds tokens that the resumed run does not know.
        """
        vocabulary = self.vocabulary_of(resumed)
        if (Path(self.corpus) / "text.json").is_file():
            tokens = open_token_file(Path(self.corpus))
            if vocabulary is not None and tokens.vocabulary.tokens != vocabulary.tokens:
                raise ValueError(f"{self.corpus} has other tokens than the run in {self.out}")
            return open_tokens(tokens, self.max_chars, self.held_out_chars, self.unit)
        keep = self.keep_line_breaks
        if keep is None:
            keep = resumed.text.keep_line_breaks if resumed else self.corpus not in BOOK
        num_tokens = self.max_chars + int(self.held_out_chars)
        corpus = read_corpus(self.corpus, num_tokens, self.unit)
        try:
            texts = prepare_texts(
                corpus.text,
                self.max_chars,
                self.held_out_chars,
                self.unit,
                keep_line_breaks=keep,
                vocabulary=vocabulary,
            )
        except UnknownTokenError as error:
            if vocabulary is None:
                raise
            raise ValueError(f"{self.out} cannot go on with {self.corpus}: {error}") from error
        return corpus, texts


class Run:
    """One training run: the model, the texts, and what is reported of them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        resumed = _newest_record(settings.out) if settings.resume else None
        self.corpus, self.texts = settings.load(resumed)
        settings.training.plans(len(self.texts.ids))  # raises where the text is too short
        self.vocab_size = len(self.texts.vocabulary)
        self.model = jaxrnn.build(settings.model, self.vocab_size)
        self.optimizer = settings.training.make_optimizer(len(self.texts.ids))
        self.prompts = known_prompts(settings.prompts, type(settings)().prompts, self.texts)
        self._check_processes()
        count_devices(settings.training)  # an error now, rather than after compilation
        self._check_memory()

    def _check_processes(self) -> None:
        """Raise unless all processes of the run have the same settings and texts."""
        settings = dataclasses.asdict(self.settings)
        del settings["processes"]  # each is told of its own place
        vocabulary = hashlib.sha256(self.texts.vocabulary.to_json().encode()).hexdigest()
        texts = {"corpus SHA-256": self.corpus.digest, "vocabulary SHA-256": vocabulary}
        wait_for_all("the texts are there")
        check_alike(settings | texts)

    def _check_memory(self) -> None:
        """Raise where the process would be aborted for want of memory before it began."""
        state = jax.eval_shape(self.initial_state)
        needed = num_bytes(state.params) + num_bytes((state.params, state.opt_state, state.carry))
        if needed > physical_memory():
            raise ValueError(
                f"parameters, their gradient and the optimizer's state need {needed:,} bytes, and"
                f" this machine has {physical_memory():,}: choose a smaller hidden_size,"
                " embedding_size, num_layers or batch_size"
            )

    def initial_state(self) -> TrainState:
        training = self.settings.training
        key = jax.random.key(training.seed)
        return jaxrnn.init_state(
            self.model, self.optimizer, self.vocab_size, training.batch_size, key
        )

    def record(self, progress: Progress, best: Best | None = None) -> Record:
        settings = self.settings
        text = TextRecord(
            self.corpus.name,
            self.corpus.digest,
            len(self.texts.ids),
            settings.held_out_chars,
            self.texts.keep_line_breaks,
        )
        vocabulary = self.texts.vocabulary
        return Record(settings.model, settings.training, text, vocabulary, progress, best)

    def samples(self, state: TrainState) -> list[str]:
        return jaxrnn.generate(
            self.model,
            local(state.params),
            self.texts.vocabulary,
            self.prompts,
            self.settings.sample_length,
        )

    def held_out(self, state: TrainState) -> dict[str, float]:
        return held_out_metrics(self.model, local(state.params), self.texts)


def _newest_record(out: Path) -> Record | None:
    """What the newest checkpoint that can be read belongs to, if there is one."""
    try:
        with warnings.catch_warnings(), Checkpoints(out, read_only=True) as checkpoints:
            warnings.simplefilter("ignore", CheckpointWarning)  # said where training begins
            return checkpoints.newest(lambda saved: saved.record)
    except CheckpointError:
        return None
