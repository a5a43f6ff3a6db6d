"""What `unroll` keeps for any inputs, lengths, resets and carries: properties of drawn examples."""

import collections
import functools
import itertools
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import reference
from hypothesis import given, seed, settings
from hypothesis import strategies as st

import jaxrnn

EXAMPLES = 10  # of each property and shape
TOLERANCE = 1e-11  # float64, at most 7 steps of sums over 6 terms, inputs of size 10 at most


class Shape(NamedTuple):
    """The static arguments of a drawn case; `unroll` is compiled once for each."""

    name: str
    num_steps: int
    batch_size: int
    input_size: int
    hidden_size: int
    reverse: bool = False


class Arguments(NamedTuple):
    """The NumPy arrays that `unroll` is given beside the cell."""

    params: jaxrnn.RecurrentParams
    inputs: Any
    carry: Any
    lengths: Any
    resets: Any
    reset_carry: Any


GRU, LSTM = Shape("gru", 7, 4, 3, 5), Shape("lstm", 5, 3, 4, 2)
SHAPES = [
    Shape("rnn", 6, 3, 2, 4, reverse=True),
    Shape("gru_reset_before", 4, 2, 1, 3),
    *(GRU, GRU._replace(reverse=True), GRU._replace(batch_size=1)),
    *(LSTM, LSTM._replace(reverse=True), LSTM._replace(batch_size=1)),
]
TRACES = collections.Counter()


def cell_of(shape):
    if shape.name == "gru_reset_before":
        return jaxrnn.gru(shape.hidden_size, reset_after=False)
    return getattr(jaxrnn, shape.name)(shape.hidden_size)


CELLS = {shape: cell_of(shape) for shape in SHAPES}


@functools.cache
def compiled(shape):
    @jax.jit
    def run(arguments):
        TRACES[shape] += 1
        return jaxrnn.unroll(CELLS[shape], **arguments._asdict(), reverse=shape.reverse)

    return run


def run(shape, arguments):
    """(outputs, the last carry as a dictionary), in NumPy."""
    outputs, last = compiled(shape)(arguments)
    return np.asarray(outputs), jax.tree.map(np.asarray, last._asdict())


@st.composite
def arguments_of(draw, shape):
    _, num_steps, batch_size, input_size, hidden_size, _ = shape
    num_resets = num_steps * batch_size
    cell = CELLS[shape]
    gates = len(cell.gates) * hidden_size
    carry = type(cell.initial_carry(batch_size))
    scale = draw(st.sampled_from([0.1, 1.0, 10.0]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = st.lists(st.integers(0, num_steps), min_size=batch_size, max_size=batch_size)
    resets = st.lists(st.booleans(), min_size=num_resets, max_size=num_resets)
    return Arguments(
        jaxrnn.RecurrentParams(
            random.normal(size=(input_size, gates)),
            random.normal(size=(hidden_size, gates)),
            random.normal(size=gates),
            random.normal(size=gates) if cell.hidden_bias else None,
        ),
        scale * random.normal(size=(num_steps, batch_size, input_size)),
        carry(*random.normal(size=(len(carry._fields), batch_size, hidden_size))),
        np.array(draw(lengths)),
        np.array(draw(resets)).reshape(num_steps, batch_size),
        carry(*random.normal(size=(len(carry._fields), batch_size, hidden_size))),
    )


def assert_close(came, expected, tolerance=TOLERANCE):
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=False)


def rows(carry, which):
    return jax.tree.map(lambda c: c[which], carry)


def put(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def equals_a_numpy_loop(shape, arguments, draw):
    carries = {name: getattr(arguments, name)._asdict() for name in ("carry", "reset_carry")}
    expected = reference.unroll(shape.name, *arguments._replace(**carries), shape.reverse)
    assert_close(run(shape, arguments), expected)


def ignores_the_padding(shape, arguments, draw):
    short = min(arguments.lengths[0], shape.num_steps - 1)
    arguments = arguments._replace(lengths=put(arguments.lengths, 0, short))
    padding = np.arange(shape.num_steps)[:, None] >= arguments.lengths[None]
    filling = draw(st.sampled_from([np.nan, np.inf, -1e300, 0.0]))
    other = arguments._replace(
        inputs=np.where(padding[..., None], filling, arguments.inputs),
        resets=arguments.resets ^ padding,
    )
    came = run(shape, arguments)
    assert_close(run(shape, other), came, 0)
    assert padding.any()
    assert not came[0][padding].any()


def restarts_at_each_document(shape, arguments, draw):
    """Packed documents against each alone in its row, in the same compiled function."""
    arguments = arguments._replace(
        lengths=put(arguments.lengths, 0, max(arguments.lengths[0], 2)),
        resets=put(arguments.resets, (1, 0), True),  # at least two documents in the first row
    )
    outputs, last = run(shape, arguments)
    for row, length in enumerate(arguments.lengths):
        inner = [t for t in range(1, length) if arguments.resets[t, row]]
        spans = [s for s in itertools.pairwise([0, *inner, length]) if s[0] < s[1]]
        end_carry = rows(arguments.carry._asdict(), row)
        for start, end in reversed(spans) if shape.reverse else spans:
            met = end if shape.reverse else start  # the boundary before the document's first step
            restarts = met < length and arguments.resets[met, row]
            document = arguments._replace(
                inputs=np.roll(arguments.inputs, -start, axis=0),
                carry=arguments.reset_carry if restarts else arguments.carry,
                lengths=(end - start) * (np.arange(shape.batch_size) == row),
                resets=np.zeros_like(arguments.resets),
            )
            alone, end_carries = run(shape, document)
            assert_close(outputs[start:end, row], alone[: end - start, row])
            end_carry = rows(end_carries, row)
        assert_close(rows(last, row), end_carry)


def goes_on_from_a_carry(shape, arguments, draw):
    """Two chunks against the whole; the first row reaches into both."""
    cut = draw(st.integers(1, shape.num_steps - 1))
    arguments = arguments._replace(lengths=put(arguments.lengths, 0, shape.num_steps))
    lengths = arguments.lengths
    chunks = [
        arguments._replace(lengths=np.minimum(lengths, cut)),
        arguments._replace(
            inputs=np.roll(arguments.inputs, -cut, axis=0),
            resets=np.roll(arguments.resets, -cut, axis=0),
            lengths=np.maximum(lengths - cut, 0),
        ),
    ]
    first, second = reversed(chunks) if shape.reverse else chunks
    outputs, last = run(shape, first)
    carry = arguments.carry._replace(**last)
    if shape.reverse:  # the boundary between the chunks lies in neither of them
        restarts = (arguments.resets[cut] & (cut < lengths))[:, None]
        carry = jax.tree.map(functools.partial(np.where, restarts), arguments.reset_carry, carry)
    more, last = run(shape, second._replace(carry=carry))
    early, late = (more, outputs) if shape.reverse else (outputs, more)
    assert_close((early + np.roll(late, cut, axis=0), last), run(shape, arguments))


def keeps_rows_apart(shape, arguments, draw):
    row = draw(st.integers(0, shape.batch_size - 1))
    only = slice(row, row + 1)
    alone = Arguments(
        arguments.params,
        arguments.inputs[:, only],
        rows(arguments.carry, only),
        arguments.lengths[only],
        arguments.resets[:, only],
        rows(arguments.reset_carry, only),
    )
    outputs, last = run(shape, arguments)
    assert_close(run(shape._replace(batch_size=1), alone), (outputs[:, only], rows(last, only)))


def flip(over_time, lengths):
    """Each sequence turned around within its length."""
    flipped = over_time.copy()
    for row, length in enumerate(lengths):
        flipped[:length, row] = over_time[:length, row][::-1]
    return flipped


def is_itself_when_reversed_twice(shape, arguments, draw):
    lengths, resets = arguments.lengths, put(arguments.resets, 0, False)
    after = np.concatenate([resets[1:], np.zeros_like(resets[:1])])  # the other side of a boundary
    mirrored = {"inputs": flip(arguments.inputs, lengths), "resets": flip(after, lengths)}
    outputs, last = run(shape._replace(reverse=True), arguments._replace(**mirrored))
    assert_close((flip(outputs, lengths), last), run(shape, arguments._replace(resets=resets)))


PROPERTIES = {
    equals_a_numpy_loop: SHAPES,
    ignores_the_padding: SHAPES,
    restarts_at_each_document: SHAPES,
    goes_on_from_a_carry: SHAPES,
    keeps_rows_apart: [GRU, LSTM],
    is_itself_when_reversed_twice: [GRU, LSTM],
}
CASES = [(keeps, shape) for keeps, shapes in PROPERTIES.items() for shape in shapes]


@pytest.mark.parametrize(
    ("number", "keeps", "shape"),
    [(number, *case) for number, case in enumerate(CASES)],
    ids=[f"{keeps.__name__}-{'-'.join(map(str, shape))}" for keeps, shape in CASES],
)
def test_property(number, keeps, shape, x64):
    ran = []

    @seed(number)  # other examples in each test, the same at each run
    @settings(max_examples=EXAMPLES, derandomize=True)
    @given(arguments_of(shape), st.data())
    def check(arguments, data):
        keeps(shape, arguments, data.draw)
        ran.append(arguments)

    check()
    assert len(ran) >= EXAMPLES
    assert len({arguments.inputs.tobytes() for arguments in ran}) > EXAMPLES / 2
    assert TRACES[shape] == max(TRACES.values()) == 1


def test_there_are_hundreds_of_examples_of_at_most_eight_shapes():
    assert EXAMPLES * len(CASES) >= 300
    assert len(set(SHAPES)) == len(SHAPES) <= 8
    assert {shape for _, shape in CASES} == set(SHAPES)
