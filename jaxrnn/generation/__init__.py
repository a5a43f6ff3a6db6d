"""Generation: continuing prompts with a language model.

`text.py` continues texts, at once or as a stream, and `ids.py` token ids.  Both run the loop of
`loop.py`, which draws tokens by `sampling.py` and ends rows by `stopping.py`.
"""

from jaxrnn.generation.ids import generate_ids
from jaxrnn.generation.loop import Generated
from jaxrnn.generation.sampling import Sampling
from jaxrnn.generation.stream import generate_stream
from jaxrnn.generation.text import Sample, generate, generate_samples

__all__ = [  # noqa: RUF022, sorted by topic
    # texts
    "generate",
    "generate_samples",
    "generate_stream",
    "Sample",
    # token ids
    "generate_ids",
    "Generated",
    # options
    "Sampling",
]
