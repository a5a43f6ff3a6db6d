"""Running a cell over time: `unroll`, and one file per way to do it.

`unroll.py` prepares a run and projects the inputs.  `options.py` holds the static options of a run,
`arguments.py` checks its arrays, and `boundaries.py` handles padding and resets.

`scan.py` has the portable loops.  `derivative.py` is the derivative that they serve, with
`linearization.py` and `coefficients.py`, which reduce it to a few coefficients per unit.
`primitives.py` makes primitives of the loops (`calls.py`), so that what runs is decided when a
program is compiled.  `native/` serves them on CPUs by code generated from `equations.py`, with
`unit_programs.py`.  `cudnn.py` calls NVIDIA's LSTM kernels.  `implementations.py` says what there
is for a cell.

Linear cells have an engine of their own: `linear.py`, around `linear_recurrence.py`, with
`linear_primitives.py` and `linear_equations.py` in the places of the above.

`remat.py` saves memory on long sequences.  `zoneout.py` keeps units at their old values.
`weights.py` defines the parameters and the forms of the recurrent weights.
"""

from jaxrnn.recurrence.implementations import implementations
from jaxrnn.recurrence.unroll import unroll
from jaxrnn.recurrence.weights import BlockDiagonal, LowRank, Masked, RecurrentParams

__all__ = [  # noqa: RUF022, sorted by topic
    # running a cell
    "unroll",
    "implementations",
    # parameters
    "RecurrentParams",
    # forms of the recurrent weights
    "LowRank",
    "BlockDiagonal",
    "Masked",
]
