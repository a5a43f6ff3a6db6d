"""The settings of a run, and the texts that they name."""

from dataclasses import dataclass, field
from pathlib import Path

from jaxrnn.checks import check_number, check_positive_integer
from jaxrnn.model_config import ModelConfig
from jaxrnn.runs.processes import Processes
from jaxrnn.runs.record import Record
from jaxrnn.runs.texts import BOOK, Texts, open_tokens, prepare_texts, read_corpus
from jaxrnn.text import Corpus, Unit, UnknownTokenError, Vocabulary
from jaxrnn.text.token_file import open_token_file
from jaxrnn.training.config import TrainConfig

MAX_TO_GENERATE = 1_000_000
"""Characters (or words) that a command adds to a text: seconds of work, and no more."""


@dataclass(frozen=True)
class Settings:
    """Every setting of a run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    corpus: str = "jaychou"
    """What to train on: jaychou, time_machine, songs (comes with the package), the path of a .txt
    or .zip file, or the folder that `jaxrnn tokenize` made of a larger one."""
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

    def vocabulary_of(self, resumed: Record | None) -> Vocabulary | None:
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
