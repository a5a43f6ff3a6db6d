"""Generation of one text, piece by piece."""

from collections.abc import Callable, Iterable, Iterator

import jax

from jaxrnn.generation.ids import start
from jaxrnn.generation.loop import State
from jaxrnn.generation.sampling import Sampling
from jaxrnn.generation.stopping import encode_stop, num_begun
from jaxrnn.generation.text import encode_prompts
from jaxrnn.layers import Layer
from jaxrnn.text import Vocabulary
from jaxrnn.text.units import join_texts
from jaxrnn.typing import HostArray, Key, Params


def generate_stream(
    model: Layer,
    params: Params,
    vocabulary: Vocabulary,
    prompt: str,
    num_tokens: int,
    *,
    sampling: Sampling = Sampling(),
    key: Key | None = None,
    stop: str | Iterable[str] = (),
    min_tokens: int = 0,
    allow_unknown: bool = False,
) -> Iterator[str]:
    """Continue one prompt, and yield each piece of text as soon as it stands.

    The prompt followed by all pieces is the text that `generate` returns for the same arguments,
    unless the prompt ends inside a character, as one of bytes may.  Both run the same compiled
    program, here a token at a time.

    Args:
        prompt: a text of at least one token.
        model, params, vocabulary, num_tokens, sampling, key, stop, min_tokens, allow_unknown: as
            for `generate`.

    Returns:
        An iterator over pieces of text, mostly of one token each.  The beginning of a stop string
        is held back until it is clear that it is none; so are bytes until they make a character.
        Pieces of words begin with a space.

    Raises:
        UnknownTokenError, ValueError, TypeError: as `generate` does, at once; only logits that are
            not finite are found on the way.

    Examples:
        >>> import jax, jaxrnn
        >>> vocabulary = jaxrnn.Vocabulary.of("to be or not to be")
        >>> model = jaxrnn.language_model(len(vocabulary), jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params = model.init(jax.random.key(0), len(vocabulary))
        >>> pieces = list(jaxrnn.generate_stream(model, params, vocabulary, "to ", 5))
        >>> len(pieces)
        5
        >>> ["to " + "".join(pieces)] == jaxrnn.generate(model, params, vocabulary, ["to "], 5)
        True
    """
    ids, lengths = encode_prompts(vocabulary, [prompt], allow_unknown=allow_unknown)
    stops = encode_stop(vocabulary, stop)
    state, advance = start(
        model, params, ids, num_tokens, lengths, sampling, key, stops, min_tokens, num_samples=1
    )
    return _pieces(vocabulary, state, advance, num_tokens, stops)


def _pieces(
    vocabulary: Vocabulary,
    state: State,
    advance: Callable[[State, int], State],
    num_tokens: int,
    stops: list[HostArray],
) -> Iterator[str]:
    held: list[int] = []  # tokens that are not shown yet
    for n in range(1, num_tokens + 1):
        state = advance(state, n)
        recent, stop_lengths = jax.device_get((state.recent, state.generated.stop_lengths))
        held.append(int(recent[-1, 0]))
        stop_length = int(stop_lengths[0])
        ended = stop_length > 0 or n == num_tokens
        text_end = len(held) - (stop_length if ended else num_begun(held, stops))
        text = vocabulary.decode(held[:text_end])
        if ended or not text.endswith("\ufffd"):  # of bytes, the rest of a character may follow
            del held[:text_end]
            if text:
                yield join_texts(("", text), vocabulary.unit)
        if ended:
            return
