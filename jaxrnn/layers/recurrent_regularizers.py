"""Noise inside the recurrence: recurrent dropout, weight drop and zoneout.

All masks are drawn here, outside the cell, and given to the engine as data.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cells import BaseCell, LinearCell, SLSTMCarry
from jaxrnn.checks import check_number
from jaxrnn.layers.dropout import dropout_mask
from jaxrnn.recurrence import Masked
from jaxrnn.recurrence.zoneout import expected_cell, zoned_fields
from jaxrnn.typing import Key


@dataclass(frozen=True)
class Regularizers:
    """The rates of the noise inside a recurrence, which `jaxrnn.recurrent` documents."""

    recurrent_dropout: float = 0.0
    weight_drop: float = 0.0
    zoneout: Any = 0.0

    def check(self, cell: BaseCell) -> None:
        """Raise unless the rates are numbers in 0..1, and the cell has what they disturb."""
        for name in ("recurrent_dropout", "weight_drop"):
            check_number(name, getattr(self, name), low=0.0, high=1.0)
        for rate in self.zoneout if isinstance(self.zoneout, tuple) else (self.zoneout,):
            check_number("zoneout", rate, low=0.0, high=1.0)
        if self.weight_drop and (isinstance(cell, LinearCell) or cell.reads_inputs):
            raise ValueError(f"weight_drop needs a cell with recurrent weights, got {cell}")
        if self.zoneout != 0:
            self._rates(cell)

    def drop(self, key: Key, cell: BaseCell, w_hh: Any, batch_size: int) -> Any:
        """Return recurrent weights of which entries, or what they read, are dropped."""
        if self.weight_drop:
            leaves, structure = jax.tree.flatten(w_hh)
            keys = jax.random.split(jax.random.fold_in(key, 1), len(leaves))
            dropped = [
                leaf * dropout_mask(k, self.weight_drop, leaf.shape, leaf.dtype)
                for k, leaf in zip(keys, leaves, strict=True)
            ]
            w_hh = jax.tree.unflatten(structure, dropped)
        if self.recurrent_dropout:
            shape, dtype = (batch_size, cell.hidden_size), jax.tree.leaves(w_hh)[0].dtype
            w_hh = Masked(w_hh, dropout_mask(key, self.recurrent_dropout, shape, dtype))
        return w_hh

    def zoneout_masks(self, key: Key, cell: BaseCell, num_steps: int, batch_size: int) -> Any:
        """Draw where each unit keeps its value: a carry of bool `[T, B, ...]`, or None."""
        if self.zoneout == 0:
            return None
        carry = jax.eval_shape(lambda: cell.initial_carry(batch_size, jnp.float32))
        keys = jax.random.split(jax.random.fold_in(key, 2), len(carry))
        masks = (
            jax.random.bernoulli(k, rate, (num_steps, *field.shape)) if rate else None
            for k, rate, field in zip(keys, self._rates(cell), carry, strict=True)
        )
        return type(carry)(*masks)

    def expected(self, cell: BaseCell) -> BaseCell:
        """Return the cell of evaluation, whose carry is the expectation under zoneout."""
        return cell if self.zoneout == 0 else expected_cell(cell, self._rates(cell))

    def _rates(self, cell: BaseCell) -> Any:
        """Return the rate of each array of the cell's carry."""
        carry = jax.eval_shape(lambda: cell.initial_carry(1, jnp.float32))
        if not isinstance(self.zoneout, tuple):
            zoned = zoned_fields(cell, type(carry))
            return type(carry)(*(self.zoneout if name in zoned else 0.0 for name in carry._fields))
        if type(self.zoneout) is not type(carry):
            raise TypeError(
                f"zoneout must be a number or a {type(carry).__name__} of numbers for the cell"
                f" {cell}, got {self.zoneout!r}"
            )
        if isinstance(self.zoneout, SLSTMCarry) and any(self.zoneout[1:]):
            raise ValueError(
                "zoneout of an sLSTM must be 0 for memory, normalizer and stabilizer, which are one"
                f" state in three parts, got {self.zoneout!r}"
            )
        if isinstance(cell, LinearCell) and cell.readout is not None:
            hidden, *of_state = self.zoneout
            if hidden != 0 or len(set(of_state)) > 1:
                raise ValueError(
                    f"zoneout of the linear cell {cell} must be 0 for hidden, which is read out of"
                    f" the state, and one number for all parts of the state, got {self.zoneout!r}"
                )
        return self.zoneout
