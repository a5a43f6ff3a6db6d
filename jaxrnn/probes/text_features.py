"""Features of a text, token by token, such as whether a quotation is open."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np

from jaxrnn.typing import Float, HostArray

State: TypeAlias = tuple[float, ...]

BRACKETS = {"(": ")", "[": "]", "{": "}"}
QUOTES = {"“": "”", "«": "»", "„": "“", "「": "」", "『": "』", '"': '"'}


def text_features(tokens: Sequence[str]) -> dict[str, Float[HostArray, "T"]]:
    r"""Return what is true of a text after each of its tokens.

    Args:
        tokens: the tokens, such as the characters of a text.

    Returns:
        Numbers by what they say, each once per token; those that never change are left out:

        - "place in line": characters since the last line break, as a share of the longest line;
        - "place in word": characters since the last white space, up to 10;
        - "inside quotes" and "inside brackets": 1 or 0; a pair ends with its paragraph;
        - "letter", "capital", "digit", "white space", "punctuation": its last character is one.

    Examples:
        >>> from jaxrnn import probes
        >>> features = probes.text_features('say "no"\n')
        >>> features["inside quotes"].astype(int).tolist()
        [0, 0, 0, 0, 1, 1, 1, 0, 0]
        >>> features["place in word"].astype(int).tolist()
        [1, 2, 3, 0, 1, 2, 3, 4, 0]
    """
    features = {
        "place in line": _line_places(tokens),
        "place in word": _after(tokens, _in_word, 0.0),
        "inside quotes": _inside(tokens, QUOTES),
        "inside brackets": _inside(tokens, BRACKETS),
        "letter": _last(tokens, str.isalpha),
        "capital": _last(tokens, str.isupper),
        "digit": _last(tokens, str.isdigit),
        "white space": _last(tokens, str.isspace),
        "punctuation": _last(tokens, lambda c: not (c.isalnum() or c.isspace())),
    }
    return {name: values for name, values in features.items() if values.size and np.ptp(values) > 0}


def _after(tokens: Iterable[str], follow: Callable[[float, str], float], start: float) -> HostArray:
    """Return the state after each token, given how a character changes it."""
    state, states = start, []
    for token in tokens:
        for character in token:
            state = follow(state, character)
        states.append(state)
    return np.array(states, float)


def _in_word(place: float, character: str) -> float:
    return 0.0 if character.isspace() else min(place + 1, 10)


def _line_places(tokens: Iterable[str]) -> HostArray:
    places = _after(tokens, lambda place, character: 0.0 if character == "\n" else place + 1, 0.0)
    return places / max(1.0, places.max(initial=0.0))


def _inside(tokens: Iterable[str], pairs: dict[str, str]) -> HostArray:
    """Return 1 after each token that stands inside a pair, else 0."""
    awaited, states, before = list[str](), list[float](), ""
    for token in tokens:
        for character in token:
            if awaited and character == awaited[-1]:
                awaited.pop()
            elif character in pairs:
                awaited.append(pairs[character])
            elif before == character == "\n":
                awaited.clear()
            before = character
        states.append(float(bool(awaited)))
    return np.array(states, float)


def _last(tokens: Iterable[str], kind: Callable[[str], bool]) -> HostArray:
    return np.array([float(bool(token) and kind(token[-1])) for token in tokens], float)
