"""The settings of a run, and the texts that they name."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from jaxrnn.checks import check_choice, check_integer, check_number, check_positive_integer
from jaxrnn.fine_tuning import NewTokens
from jaxrnn.model_config import ModelConfig
from jaxrnn.runs.loading import Use
from jaxrnn.runs.processes import Processes
from jaxrnn.runs.record import Record
from jaxrnn.runs.texts import BOOK, Names, Texts, open_tokens, prepare_texts, read_corpus
from jaxrnn.text import Corpus, Unit, UnknownTokenError, Vocabulary
from jaxrnn.text.files import check_encoding
from jaxrnn.text.token_file import open_token_file
from jaxrnn.text.vocabulary import check_max_vocabulary
from jaxrnn.training.config import TrainConfig

VALIDATION_CHARS = 1_000
"""The size of the validation text of a new run, unless it is set."""
MAX_TO_GENERATE = 1_000_000
"""Largest number of characters (or words) to generate: a few seconds of work."""


@dataclass(frozen=True)
class Settings:
    """Every setting of a run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    corpus: Names = "jaychou"
    """The text to train on: jaychou, time_machine, time_machine_words, shakespeare, ptb_train or
    songs, which comes with the package; your own files, also packed as .gz or .zip, a folder of
    them or a pattern such as 'poems/*.txt', one or several; or a folder made by `jaxrnn tokenize`.
    """
    encoding: str = "utf-8"
    """Encoding of your own files, any that Python knows: gb18030, big5, shift_jis, latin-1, ..."""
    unit: Unit = "character"
    """The unit of text that is one token.  Bytes make a text of any file."""
    max_vocabulary: int | None = None
    """Keep only the most frequent characters (or words), so many with <unk>, which replaces the
    others."""
    keep_line_breaks: bool | None = None
    """Keep line breaks as tokens to be learnt; otherwise they become spaces.  By default they are
    kept in your own texts but not in the book's, and a resumed or fine-tuned run does as before."""
    max_chars: int = 10_000
    """Characters (or words) to train on, from the beginning."""
    validation_chars: int | None = None
    """Characters (or words) after those, on which the best parameters are chosen; by default 1,000,
    and a resumed run does as before."""
    held_out_chars: int = 2_000
    """Characters (or words) to hold out after all those, to measure perplexity on."""
    prompts: tuple[str, ...] = ()
    """Beginnings of the samples; without any, the first two tokens of the text."""
    sample_every: int = 50
    """Print a report with samples after every so many epochs."""
    sample_length: int = 50
    """Characters (or words) to generate after each prompt."""
    from_run: Path | None = None
    """Folder of a trained run to fine-tune: begin with its model, parameters and vocabulary.  Model
    flags at their default follow that run."""
    from_use: Use | None = None
    """With --from: begin with the newest parameters (checkpoints), with those that did best on the
    validation text, or with the average; by default with the average if there is one."""
    new_tokens: NewTokens = "refuse"
    """With --from, for tokens that its vocabulary lacks: refuse the text, add them to the
    vocabulary, or read them as its unknown token (unk)."""
    out: Path = Path("runs/train")
    """Folder for the run's checkpoints, metrics, curve and summary."""
    resume: bool = False
    """Continue from the newest checkpoint in --out."""
    accept_changes: bool = False
    """With --resume: continue even if corpus, settings or devices differ from the checkpoint's."""
    save_every: float = 10.0
    """Seconds between two checkpoints."""
    processes: Processes = field(default_factory=Processes)
    compilation_cache: Path | None = None
    """Folder to keep compiled programs in, so the next run of these sizes starts sooner.  With
    several processes, all read it and the first one writes."""

    def __post_init__(self) -> None:
        if not self.corpus:
            raise ValueError("corpus must name at least one text, got none")
        check_encoding(self.encoding)
        check_max_vocabulary(self.max_vocabulary, self.unit)
        if self.max_vocabulary and self.from_run:
            raise ValueError("max_vocabulary must be left out with --from, which has a vocabulary")
        if self.training.unigram_bias and self.from_run:
            raise ValueError("unigram_bias must be left out with --from, which has parameters")
        check_positive_integer("max_chars", self.max_chars, None)  # NumPy's, which are larger
        check_positive_integer("sample_every", self.sample_every)
        check_positive_integer("sample_length", self.sample_length, MAX_TO_GENERATE)
        for name in ("validation_chars", "held_out_chars"):
            if (number := getattr(self, name)) is not None:
                check_integer(name, number)
                check_number(name, number, low=0)
        check_number("save_every", self.save_every, low=0)
        check_choice("new_tokens", self.new_tokens, ("refuse", "add", "unk"))
        if self.from_run and os.path.realpath(self.from_run) == os.path.realpath(self.out):
            raise ValueError(f"--from and --out must be different folders, got {self.out} twice")

    def vocabulary_of(self, previous: Record | None) -> Vocabulary | None:
        """Return the vocabulary to read the text with; None means the text's own.

        A run that is fine-tuned, or resumed with changes, keeps its vocabulary.  A new text's own
        would give the ids, and hence the rows of the weights, a different meaning.
        """
        keeps = self.accept_changes or self.from_run or (previous and previous.origin)
        return previous.vocabulary if previous and keeps else None

    def load(self, previous: Record | None = None) -> tuple[Corpus, Texts]:
        """Return the corpus, and the texts to train on and to hold out.

        Args:
            previous: the record of the run that is resumed or, with `from_run`, fine-tuned; if any.

        Raises:
            ValueError: the text is not available, or holds tokens unknown to that run.
        """
        vocabulary = self.vocabulary_of(previous)
        validation = self.validation_chars
        if validation is None:
            resumed = previous if self.from_run is None else None
            validation = resumed.text.validation_chars if resumed else VALIDATION_CHARS
        if isinstance(self.corpus, str) and (Path(self.corpus) / "text.json").is_file():
            tokens = open_token_file(Path(self.corpus))
            if vocabulary is not None and tokens.vocabulary.tokens != vocabulary.tokens:
                run_dir = self.from_run or self.out
                raise ValueError(f"{self.corpus} has different tokens than the run in {run_dir}")
            if self.max_vocabulary is not None:
                raise ValueError(
                    f"max_vocabulary has no effect on {self.corpus}, which is tokenized: use"
                    " jaxrnn tokenize --max-vocabulary"
                )
            if self.keep_line_breaks not in (None, tokens.keep_line_breaks):
                raise ValueError(
                    f"keep_line_breaks must be {tokens.keep_line_breaks}, that of the tokens in"
                    f" {self.corpus}, got {self.keep_line_breaks}"
                )
            return open_tokens(tokens, self.max_chars, validation, self.held_out_chars, self.unit)
        keep = self.keep_line_breaks
        if keep is None:
            keep = previous.text.keep_line_breaks if previous else self.corpus not in BOOK
        num_tokens = self.max_chars + validation + self.held_out_chars
        corpus = read_corpus(self.corpus, num_tokens, self.unit, self.encoding)
        try:
            texts = prepare_texts(
                corpus.text,
                self.max_chars,
                self.held_out_chars,
                self.unit,
                validation_tokens=validation,
                keep_line_breaks=keep,
                max_vocabulary=self.max_vocabulary,
                vocabulary=vocabulary,
                new_tokens=self.new_tokens if self.from_run else None,
            )
        except UnknownTokenError as error:
            if vocabulary is None:
                raise
            run_dir = self.from_run or self.out
            raise ValueError(f"{run_dir} cannot continue with {self.corpus}: {error}") from error
        return corpus, texts
