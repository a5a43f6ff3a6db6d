"""The model behind the page: it writes, it reads, and it shows what happens inside."""

import codecs
import functools
import json
import struct
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax import lax

from jaxrnn.checks import check_choice
from jaxrnn.generation.sampling import Sampling, check_sampling, log_probability, next_token
from jaxrnn.generation.stopping import encode_stop
from jaxrnn.layers import Layer
from jaxrnn.probes import LayerTrace, correlations, text_features, trace
from jaxrnn.runs.loading import LoadedRun
from jaxrnn.studio.requests import MAX_VALUES, LookInside, Read, Write
from jaxrnn.text import tokenize
from jaxrnn.typing import HostArray, Params

NUM_LIKELY = 8
"""The most likely tokens that are shown at a place."""

CHUNKS = (32, 512)
"""Tokens that are read at once: a program for the shorter texts, and one for the longer."""

UNITS_SHOWN = 5
"""The units that are named for each feature of a text."""


class Studio:
    """A trained model, and what the page asks of it."""

    def __init__(self, run: LoadedRun) -> None:
        """Show a trained model."""
        self.model, self.params, self.vocabulary = run
        self.description = self._describe()
        """What the page says about the model, and offers to look at."""

    def _describe(self) -> dict[str, Any]:
        token = np.zeros((1, 1), np.int32)
        seen = jax.eval_shape(functools.partial(trace, self.model), self.params, token)
        return {
            "model": repr(self.model),
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(self.params)),
            "unit": self.vocabulary.unit,
            "vocabulary": len(self.vocabulary),
            "layers": [
                {"name": layer.name, "cell": repr(layer.cell), "arrays": list(arrays_of(layer))}
                for layer in seen.layers
            ],
        }

    def write(self, request: Write) -> Iterator[bytes]:
        """Yield a line of JSON for each token that continues a text.

        The tokens are those of `jaxrnn.generate` for the same arguments.
        """
        vocabulary = self.vocabulary
        vocabulary.check_prompt(request.prompt, allow_unknown=request.num_read is not None)
        sampling = Sampling(request.temperature, request.top_k, request.top_p)
        key = jax.random.key(request.seed)
        check_sampling(sampling, key, 1, len(vocabulary))
        stops = [stop.tolist() for stop in encode_stop(vocabulary, request.stop)]
        keys = None if sampling.greedy else jax.random.split(key, request.length)
        ids = vocabulary.encode_known(request.prompt)[0][: request.num_read]
        state: Any = None, self.model.initial_carry(self.params, 1)
        for chunk, length in _chunks(ids):
            state = _read(self.model, self.params, state[1], chunk, np.array([length]))
        yield line({"read": len(ids)})
        numbers = np.float32(sampling.temperature), np.float32(sampling.top_p)
        added = list[int]()
        for n in range(request.length):
            drawn = None if keys is None else keys[n]
            (token, nats, likely), state = _write_token(
                self.model, sampling.top_k, self.params, state, drawn, *numbers
            )
            added.append(int(token))
            ended = max((len(stop) for stop in stops if added[-len(stop) :] == stop), default=0)
            row = {"token": vocabulary.tokens[added[-1]], "nats": round(float(nats), 4)}
            yield line({**row, **self._likely(likely), "stop": ended})
            if ended:
                break
        yield line({"end": True})

    def read(self, request: Read) -> Iterator[bytes]:
        """Yield lines of JSON with rows for the tokens of a text, and how likely each was.

        Tokens that the model does not know are read as its stand-in for them, and not judged; nor
        is the first token.
        """
        ids, known, tokens = self._encode(request.text)
        yield line({"tokens": len(ids)})
        yield line({"rows": [{"token": tokens[0], "known": bool(known[0])}]})
        carry, place = self.model.initial_carry(self.params, 1), 1
        for chunk, length in _chunks(ids):
            targets = np.zeros_like(chunk)
            targets[: len(ids) - place, 0] = ids[place : place + len(chunk)]
            judged, carry = _judge(
                self.model, self.params, carry, chunk, targets, np.array([length])
            )
            nats, likely = jax.device_get(judged)
            num_judged = min(length, len(ids) - place)
            rows = []
            for k in range(num_judged):
                row: dict[str, Any] = {"token": tokens[place + k], "known": bool(known[place + k])}
                if known[place + k]:
                    row["nats"] = round(float(nats[k]), 4)
                rows.append(row | self._likely([each[k] for each in likely]))
            place += num_judged
            yield line({"rows": rows})
        yield line({"end": True})

    def look_inside(self, request: LookInside) -> Iterator[bytes]:
        """Yield frames with an array of a layer at every token of a text, a row for each.

        The last ones rank the units by what they follow.
        """
        ids, _, tokens = self._encode(request.text)
        check_choice("layer", request.layer, tuple(range(len(self.description["layers"]))))
        carry, rows = self.model.initial_carry(self.params, 1), list[HostArray]()
        for chunk, length in _chunks(ids):
            lengths = np.array([length], np.int32)
            seen = trace(self.model, self.params, chunk, carry, lengths=lengths)
            values = np.asarray(_array_of(seen.layers[request.layer], request.array))
            carry, units = seen.carry, values.shape[-1]
            if len(ids) * units > MAX_VALUES:
                raise ValueError(
                    f"text must hold {MAX_VALUES // units:,} tokens at most to show {units} units"
                )
            if not rows:
                yield frame({"tokens": tokens, "units": units})
            rows.append(values[:length, 0].astype("<f4"))
            if not np.isfinite(rows[-1]).all():
                raise ValueError("the model computes NaN or infinity")
            yield frame({}, rows[-1].tobytes())
        for name, best in ranks(np.concatenate(rows), self._spelt(tokens)):
            yield frame({"feature": name, "best": best})
        yield frame({"end": True})

    def _encode(self, text: str) -> tuple[HostArray, HostArray, list[str]]:
        """Return the ids of a text, which of its tokens are known, and the tokens."""
        ids, known = self.vocabulary.encode_known(text)
        if not len(ids):
            raise ValueError(f"text must hold at least one {self.vocabulary.unit}")
        return ids, known, tokenize(text, self.vocabulary.unit)

    def _spelt(self, tokens: list[str]) -> list[str]:
        """Return what each token adds to the text: of bytes, a character once it is complete."""
        if self.vocabulary.unit == "character":
            return tokens
        if self.vocabulary.unit == "word":
            return [f" {token}" for token in tokens]
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return [decoder.decode(token.encode("latin-1")) for token in tokens]

    def _likely(self, likely: Any) -> dict[str, Any]:
        """Return the most likely tokens with their probabilities."""
        ids, probabilities = (np.asarray(each).tolist() for each in likely)
        names = [self.vocabulary.tokens[i] for i in ids]
        return {"likely": [[n, round(p, 4)] for n, p in zip(names, probabilities, strict=True)]}


def ranks(values: HostArray, tokens: list[str]) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """Yield each feature of a text, and the units that follow it best, with their correlations."""
    for name, targets in text_features(tokens).items():
        correlation = correlations(values, targets)
        best = np.argsort(-abs(correlation))[:UNITS_SHOWN]
        yield name, [(int(unit), round(float(correlation[unit]), 3)) for unit in best]


def arrays_of(layer: LayerTrace) -> dict[str, Any]:
    """Return what can be looked at in a layer: arrays of its carry, and its gates, by name."""
    carry = zip(layer.carries._fields, layer.carries, strict=True)
    of_units = {name: each for name, each in carry if each.ndim == 3}
    known = {name: gate for name, gate in layer.gates.items() if gate.function != "unknown"}
    return of_units | {f"gate {name}": gate.value for name, gate in known.items()}


def _array_of(layer: LayerTrace, name: str) -> Any:
    arrays = arrays_of(layer)
    check_choice("array", name, tuple(arrays))
    return arrays[name]


def _chunks(ids: HostArray) -> Iterator[tuple[HostArray, int]]:
    """Yield a text in columns of a few sizes, padded, and the number of tokens in each."""
    place = 0
    while place < len(ids):
        size = next((size for size in CHUNKS if size >= len(ids) - place), CHUNKS[-1])
        piece = ids[place : place + size]
        yield np.pad(piece, (0, size - len(piece)))[:, None], len(piece)
        place += size


@functools.partial(jax.jit, static_argnums=0)
def _read(model: Layer, params: Params, carry: Any, chunk: Any, length: Any) -> tuple[Any, Any]:
    """Return the logits after the last token of a chunk, and the carry."""
    logits, carry = model.apply(params, chunk, carry, lengths=length)
    return logits[length[0] - 1], carry


@functools.partial(jax.jit, static_argnums=0)
def _judge(
    model: Layer, params: Params, carry: Any, chunk: Any, targets: Any, length: Any
) -> tuple[tuple[Any, Any], Any]:
    """Return (the log-probabilities of the targets, the likely tokens) and the carry."""
    logits, carry = model.apply(params, chunk, carry, lengths=length)
    rows = logits[:, 0]
    return (log_probability(rows, targets[:, 0]), _most_likely(rows)), carry


@functools.partial(jax.jit, static_argnums=(0, 1))
def _write_token(
    model: Layer, top_k: int | None, params: Params, state: Any, key: Any, *numbers: Any
) -> tuple[Any, Any]:
    """Return (the next token, its log-probability, what was likely) and the state after it."""
    (logits, carry), (temperature, top_p) = state, numbers
    token = next_token(logits, key, temperature, top_k, top_p)
    written = token[0], log_probability(logits, token)[0], _most_likely(logits[0])
    logits, carry = model.apply(params, token[None], carry)
    return written, (logits[0], carry)


def _most_likely(logits: Any) -> tuple[Any, Any]:
    """Return the ids and probabilities of the most likely tokens, under logits `[..., V]`."""
    probabilities = jax.nn.softmax(logits)
    probabilities, ids = lax.top_k(probabilities, min(NUM_LIKELY, logits.shape[-1]))
    return ids, probabilities


def line(content: dict[str, Any]) -> bytes:
    """Return a line of JSON.

    Raises:
        ValueError: a number is not finite.
    """
    return (
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"
    )


def frame(content: dict[str, Any], values: bytes = b"") -> bytes:
    """Return the length of some JSON, then the JSON, then as many bytes as the JSON says."""
    header = line(content | {"bytes": len(values)})
    return struct.pack("<I", len(header)) + header + values
