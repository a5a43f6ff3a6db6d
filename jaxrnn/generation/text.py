"""Generation from prompts that are texts."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrnn.generation.ids import generate_ids
from jaxrnn.generation.sampling import Sampling
from jaxrnn.generation.stopping import encode_stop
from jaxrnn.layers import Layer
from jaxrnn.sequences import pad
from jaxrnn.text import Vocabulary
from jaxrnn.text.units import join_texts
from jaxrnn.typing import HostArray, Key, Params


class Sample(NamedTuple):
    """A prompt with one of its continuations."""

    prompt: str
    """The prompt."""
    continuation: str
    """The text that was added, without the stop string that ended it."""
    text: str
    """The prompt and its continuation together."""
    num_tokens: int
    """The number of tokens that were added, those of the stop string included."""
    log_probability: float
    """The log-probability of these tokens together, in nats, under the model's own distribution,
    whatever the temperature, top_k and top_p."""
    stopped: bool
    """Whether a stop string ended the text."""


def generate(
    model: Layer,
    params: Params,
    vocabulary: Vocabulary,
    prompts: Iterable[str],
    num_tokens: int,
    *,
    sampling: Sampling = Sampling(),
    key: Key | None = None,
    stop: str | Iterable[str] = (),
    min_tokens: int = 0,
    num_samples: int = 1,
    allow_unknown: bool = False,
) -> list[str]:
    """Continue a batch of prompts.

    Args:
        model: a causal language model.
        params: its parameters.
        vocabulary: the vocabulary that it was trained with.
        prompts: texts of at least one token each; their lengths may differ.
        num_tokens: the number of tokens to add to each prompt, at most.
        sampling: how to draw them; greedily by default.
        key: the random key for drawing; not needed if the temperature is 0.
        stop: strings, or one, that end a text and are then cut off.  Each is a sequence of tokens
            that is looked for among the added ones; with a vocabulary of words, of whole words.
        min_tokens: a text ends only once this many tokens are added, its stop string included.
        num_samples: the number of continuations of each prompt, drawn independently.
        allow_unknown: replace tokens that are not in the vocabulary by its unknown token.

    Returns:
        Each prompt with its continuation; samples of one prompt follow one another.

    Raises:
        UnknownTokenError: a prompt or stop string holds tokens that are not in the vocabulary.
        ValueError: a prompt or stop string is empty, a number is out of range, the model's logits
            are NaN, or several samples are asked for at temperature 0.
        TypeError: a prompt or stop string is not a text, or a number has the wrong type.

    Examples:
        >>> import jax, jaxrnn
        >>> vocabulary = jaxrnn.Vocabulary.of("to be or not to be")
        >>> model = jaxrnn.language_model(len(vocabulary), jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params = model.init(jax.random.key(0), len(vocabulary))
        >>> texts = jaxrnn.generate(model, params, vocabulary, ["to ", "or"], num_tokens=5)
        >>> [len(text) for text in texts]
        [8, 7]
    """
    samples = generate_samples(
        model,
        params,
        vocabulary,
        prompts,
        num_tokens,
        sampling=sampling,
        key=key,
        stop=stop,
        min_tokens=min_tokens,
        num_samples=num_samples,
        allow_unknown=allow_unknown,
    )
    return [sample.text for sample in samples]


def generate_samples(
    model: Layer,
    params: Params,
    vocabulary: Vocabulary,
    prompts: Iterable[str],
    num_tokens: int,
    *,
    sampling: Sampling = Sampling(),
    key: Key | None = None,
    stop: str | Iterable[str] = (),
    min_tokens: int = 0,
    num_samples: int = 1,
    allow_unknown: bool = False,
) -> list[Sample]:
    """Continue a batch of prompts, and tell how probable each continuation is and how it ended.

    Arguments and errors are those of `generate`.

    Returns:
        A `Sample` for each text that `generate` returns, in its order.

    Examples:
        >>> import jax, jaxrnn
        >>> vocabulary = jaxrnn.Vocabulary.of("to be or not to be")
        >>> model = jaxrnn.language_model(len(vocabulary), jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params = model.init(jax.random.key(0), len(vocabulary))
        >>> sampling, key = jaxrnn.Sampling(temperature=1.0), jax.random.key(1)
        >>> samples = jaxrnn.generate_samples(
        ...     model, params, vocabulary, ["to "], 50, sampling=sampling, key=key, num_samples=3
        ... )
        >>> [(sample.num_tokens, sample.stopped) for sample in samples]
        [(50, False), (50, False), (50, False)]
    """
    if isinstance(prompts, str) or not isinstance(prompts, Iterable):
        raise TypeError(f"prompts must be a collection of texts, got {prompts!r}")
    prompts = list(prompts)
    if not prompts:
        raise ValueError("prompts must hold at least one text, got none")
    ids, lengths = encode_prompts(vocabulary, prompts, allow_unknown=allow_unknown)
    generated = generate_ids(
        model,
        params,
        ids,
        num_tokens,
        lengths=lengths,
        sampling=sampling,
        key=key,
        stop=encode_stop(vocabulary, stop),
        min_tokens=min_tokens,
        num_samples=num_samples,
    )
    rows = zip(*(leaf.T for leaf in jax.device_get(generated)), strict=True)
    repeated = (prompt for prompt in prompts for _ in range(num_samples))
    return [_sample(vocabulary, prompt, *row) for prompt, row in zip(repeated, rows, strict=True)]


def encode_prompts(
    vocabulary: Vocabulary, prompts: list[str], *, allow_unknown: bool
) -> tuple[HostArray, HostArray]:
    """Return the ids of prompts, a column each, and their lengths."""
    for prompt in prompts:
        if not isinstance(prompt, str):
            raise TypeError(f"prompts must be texts, got {prompt!r}")
        vocabulary.check_prompt(prompt, allow_unknown=allow_unknown)
    # Padded to a multiple of 16 steps: most prompt lengths reuse a compiled program.
    return pad([vocabulary.encode(prompt) for prompt in prompts], multiple_of=16)


def _sample(
    vocabulary: Vocabulary, prompt: str, ids: Any, length: Any, stop_length: Any, nats: Any
) -> Sample:
    continuation = vocabulary.decode(ids[: length - stop_length])
    texts = [prompt, continuation] if continuation else [prompt]
    whole = join_texts(texts, vocabulary.unit)
    if vocabulary.unit == "byte":  # the first ones may complete the prompt's last character
        whole = vocabulary.decode(
            np.concatenate([vocabulary.encode(prompt), ids[: length - stop_length]])
        )
    return Sample(
        prompt,
        continuation,
        whole,
        int(length),
        float(nats.sum(dtype=float)),
        bool(stop_length),
    )
