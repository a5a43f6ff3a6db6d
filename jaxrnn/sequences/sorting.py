"""Sequences whose invalid steps may be anywhere, sorted so that they come last."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_array, check_mask
from jaxrnn.recurrence.boundaries import take_steps, where_rows
from jaxrnn.typing import AnyArray, Array, Bool, Int


class SortedSteps(NamedTuple):
    """The order that puts the valid steps of each sequence first, made by `sort_valid`.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> steps = jaxrnn.sort_valid(jnp.array([[False], [True], [False], [True]]))
        >>> steps.gather(jnp.array([[10], [11], [12], [13]])).T.tolist(), steps.lengths.tolist()
        ([[11, 13, 10, 12]], [2])
    """

    order: Int[Array, "T B"]
    """The step that each place is filled from: valid steps first, both kinds in their order."""
    places: Int[Array, "T B"]
    """The place of each step: the inverse of `order`."""
    lengths: Int[Array, "B"]
    """The number of valid steps of each sequence."""

    def gather(self, over_time: Any) -> Any:
        """Move the valid steps of arrays `[T, B, ...]` to the front; `lengths` says how many.

        Args:
            over_time: an array, or a tree of arrays.
        """
        return self._take(over_time, self.order)

    def put_back(self, over_time: Any) -> Any:
        """Move steps from the front to where they came from, with zeros at all other steps.

        Args:
            over_time: an array `[T, B, ...]` such as a layer's outputs, or a tree of such arrays.
        """
        in_place = self._take(over_time, self.places)
        valid = self.places < self.lengths[None]
        return where_rows(valid, in_place, jax.tree.map(jnp.zeros_like, in_place))

    def gather_resets(self, resets: Bool[AnyArray, "T B"]) -> Bool[Array, "T B"]:
        """Move resets to the front; one at a step that does not count holds for the next valid one.

        A reset is a boundary between two steps.  It remains one between the valid steps on either
        side of it.
        """
        check_mask("resets", resets, self.order.shape)
        valid = self.places < self.lengths[None]
        next_valid = jnp.cumsum(valid, axis=0, dtype=jnp.int32) - valid.astype(jnp.int32)
        rows = jnp.arange(resets.shape[1])[None]
        return jnp.zeros(resets.shape, bool).at[next_valid, rows].max(jnp.asarray(resets))

    def _take(self, over_time: Any, steps: Any) -> Any:
        for leaf in jax.tree.leaves(over_time):
            check_array("over_time", leaf)
            if leaf.shape[:2] != steps.shape:
                raise ValueError(
                    f"over_time must begin with the axes [T, B] = {steps.shape} of the mask, got"
                    f" shape {tuple(leaf.shape)}"
                )
        return jax.tree.map(lambda leaf: take_steps(jnp.asarray(leaf), steps), over_time)


def sort_valid(mask: Bool[AnyArray, "T B"]) -> SortedSteps:
    """Sort time so that the valid steps of each sequence come first, for masks of any form.

    Layers take the number of valid steps at the front (`lengths`).  Where padding is on the left,
    or steps in the middle do not count, gather the valid steps, run, and put the outputs back:

        steps = jaxrnn.sort_valid(mask)
        outputs, carry = layer.apply(params, steps.gather(inputs), lengths=steps.lengths)
        outputs = steps.put_back(outputs)

    This is as if each sequence had only its valid steps, for every layer and in both directions.

    Args:
        mask: True at steps that count.

    Returns:
        The order, the lengths, and the ways there and back: `SortedSteps`.

    Raises:
        TypeError: the mask is not a bool array.
        ValueError: it is not `[T, B]`.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxrnn
        >>> layer = jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(4)))
        >>> params = layer.init(jax.random.key(0), 3)
        >>> inputs, mask = jnp.ones((4, 1, 3)), jnp.array([[False], [True], [False], [True]])
        >>> steps = jaxrnn.sort_valid(mask)
        >>> outputs, _ = layer.apply(params, steps.gather(inputs), lengths=steps.lengths)
        >>> steps.put_back(outputs).any(axis=2).T.tolist()
        [[False, True, False, True]]
    """
    check_array("mask", mask)
    if mask.ndim != 2:
        raise ValueError(f"mask must be [T, B], got shape {tuple(mask.shape)}")
    check_mask("mask", mask, mask.shape)
    mask = jnp.asarray(mask)
    order = jnp.argsort(~mask, axis=0, stable=True).astype(jnp.int32)
    places = jnp.argsort(order, axis=0).astype(jnp.int32)
    return SortedSteps(order, places, mask.sum(axis=0, dtype=jnp.int32))
