"""Text: corpora, vocabularies, and the windows that training reads."""

from jaxrnn.text.corpora import Corpus as Corpus
from jaxrnn.text.corpora import CorpusNotFoundError as CorpusNotFoundError
from jaxrnn.text.corpora import load_corpus as load_corpus
from jaxrnn.text.vocabulary import Unit as Unit
from jaxrnn.text.vocabulary import UnknownTokenError as UnknownTokenError
from jaxrnn.text.vocabulary import Vocabulary as Vocabulary
from jaxrnn.text.vocabulary import tokenize as tokenize
from jaxrnn.text.windows import Batch as Batch
from jaxrnn.text.windows import WindowPlan as WindowPlan
from jaxrnn.text.windows import Windows as Windows
from jaxrnn.text.windows import gather_windows as gather_windows
from jaxrnn.text.windows import random_plan as random_plan
from jaxrnn.text.windows import random_windows as random_windows
from jaxrnn.text.windows import sequential_plan as sequential_plan
from jaxrnn.text.windows import sequential_windows as sequential_windows
