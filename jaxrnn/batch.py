"""A batch: the input of a training step, and what losses compare a model's outputs with."""

from typing import Any, NamedTuple

from jaxrnn.typing import AnyArray, Bool, Integer, Params


class Batch(NamedTuple):
    """Some sequences and their targets; a leading axis `[N, ...]` stacks several batches.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> inputs, lengths = jaxrnn.pad([jnp.ones((5, 3)), jnp.ones((2, 3))])
        >>> batch = jaxrnn.Batch(inputs, targets=jnp.array([0, 1]), lengths=lengths)
        >>> batch.inputs.shape, batch.mask
        ((5, 2, 3), None)
    """

    inputs: Any
    """Vectors `[T, B, D]` or token ids `[T, B]`."""
    targets: Params
    """What the loss compares the outputs with: one target per step, `[T, B]` or `[T, B, F]`, or one
    per sequence, `[B]` or `[B, F]`.  A loss of your own may take any tree of such arrays."""
    mask: Bool[AnyArray, "*N B"] | None = None
    """True where a target counts in the loss: `[T, B]` for steps, `[B]` for whole sequences; None
    means everywhere.  The model reads all inputs: `lengths` say where sequences end."""
    starts: Bool[AnyArray, "*N B"] | None = None
    """Rows that begin at the initial carry; the others continue from the previous batch.
    None means that all begin there, and that nothing is carried from batch to batch."""
    lengths: Integer[AnyArray, "*N B"] | None = None
    """The valid steps of each sequence, in `0..T`; None means all."""
    resets: Bool[AnyArray, "*N T B"] | None = None
    """True at each step before which a sequence starts again from the initial carry."""
