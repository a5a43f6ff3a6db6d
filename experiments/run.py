"""A training run: its settings, its model and texts, and what is reported of them."""

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import jax

import jaxrnn
from experiments.processes import Processes
from experiments.texts import Texts, held_out_metrics, known_prompts, open_tokens, prepare_texts
from jaxrnn.checks import check_number, check_positive_integer
from jaxrnn.text import Corpus, Unit, load_corpus
from jaxrnn.text.corpora import BUNDLED
from jaxrnn.training import Best, Progress, Record, TextRecord, TrainConfig, TrainState
from jaxrnn.training.parallel import count_devices, local
from jaxrnn.training.processes import check_alike, wait_for_all


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
    max_chars: int = 10_000
    """Characters (or words) to train on, from the beginning; line breaks become spaces."""
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
        for name in ("max_chars", "sample_every", "sample_length"):
            check_positive_integer(name, getattr(self, name))
        for name in ("held_out_chars", "save_every"):
            check_number(name, getattr(self, name), low=0)

    def load(self) -> tuple[Corpus, Texts]:
        """The corpus, and what to train on and to be judged by."""
        if (Path(self.corpus) / "text.json").is_file():
            return open_tokens(Path(self.corpus), self.max_chars, self.held_out_chars, self.unit)
        corpus = load_corpus(self.corpus, fallback=BUNDLED if self.corpus == "jaychou" else None)
        return corpus, prepare_texts(corpus.text, self.max_chars, self.held_out_chars, self.unit)


class Run:
    """One training run: the model, the texts, and what is reported of them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.corpus, self.texts = settings.load()
        settings.training.check_text_length(len(self.texts.ids))
        self.vocab_size = len(self.texts.vocabulary)
        self.model = jaxrnn.build(settings.model, self.vocab_size)
        self.optimizer = settings.training.make_optimizer(len(self.texts.ids))
        self.prompts = known_prompts(settings.prompts, type(settings)().prompts, self.texts)
        self._check_processes()
        count_devices(settings.training)  # an error now, rather than after compilation

    def _check_processes(self) -> None:
        """Raise unless all processes of the run have the same settings and texts."""
        settings = dataclasses.asdict(self.settings)
        del settings["processes"]  # each is told of its own place
        vocabulary = hashlib.sha256(self.texts.vocabulary.to_json().encode()).hexdigest()
        texts = {"corpus SHA-256": self.corpus.digest, "vocabulary SHA-256": vocabulary}
        wait_for_all("the texts are there")
        check_alike(settings | texts)

    def initial_state(self) -> TrainState:
        training = self.settings.training
        key = jax.random.key(training.seed)
        return jaxrnn.init_state(
            self.model, self.optimizer, self.vocab_size, training.batch_size, key
        )

    def record(self, progress: Progress, best: Best | None = None) -> Record:
        settings = self.settings
        text = TextRecord(
            self.corpus.name, self.corpus.digest, len(self.texts.ids), settings.held_out_chars
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
