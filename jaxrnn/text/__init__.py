"""Text: corpora, vocabularies, and the windows that training reads.

`corpora.py` finds a text by path, or by a name that `sources.py` knows; `files.py` reads its files,
`download.py` fetches it, and `songs.txt` is bundled.  `units.py` splits it into tokens, and
`vocabulary.py` maps these to ids.
`windows.py` cuts the ids into batches, in an order that `permutation.py` draws or with the lengths
of `random_lengths.py`, and `epoch_plans.py` plans every epoch of a training run.
`token_file.py` stores the ids of a text that is larger than memory, which `pieces.py` reads.
`statistics.py` counts n-grams and fits Zipf's law; `ngrams.py` holds n-gram models, the baselines
for recurrent ones.
"""

from jaxrnn.text.corpora import Corpus, CorpusNotFoundError, load_corpus
from jaxrnn.text.units import Unit, tokenize
from jaxrnn.text.vocabulary import UnknownTokenError, Vocabulary
from jaxrnn.text.windows import (
    WindowPlan,
    Windows,
    gather_windows,
    random_plan,
    random_windows,
    sequential_plan,
    sequential_windows,
)

__all__ = [  # noqa: RUF022, sorted by topic
    # corpora
    "Corpus",
    "load_corpus",
    # tokens
    "Unit",
    "Vocabulary",
    "tokenize",
    # windows
    "sequential_windows",
    "random_windows",
    # plans of windows
    "Windows",
    "WindowPlan",
    "sequential_plan",
    "random_plan",
    "gather_windows",
    # errors
    "CorpusNotFoundError",
    "UnknownTokenError",
]
