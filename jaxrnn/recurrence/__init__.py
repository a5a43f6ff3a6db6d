"""Running a cell over time: `unroll`, and one file per way to do it.

`unroll.py` prepares a run, projects the inputs and chooses an engine.  `options.py` holds the
static options of a run, `arguments.py` checks its arrays, and `boundaries.py` handles padding and
resets.  `scan.py` is the portable engine and its derivative, which `linearization.py` and
`coefficients.py` reduce to a few coefficients per unit.  `cudnn.py` calls NVIDIA's LSTM kernels.
`remat.py` saves memory on long sequences.  `weights.py` defines the parameters and the forms of the
recurrent weights.
"""

from jaxrnn.recurrence.unroll import unroll
from jaxrnn.recurrence.weights import BlockDiagonal, LowRank, Masked, RecurrentParams

__all__ = [  # noqa: RUF022, sorted by topic
    # running a cell
    "unroll",
    # parameters
    "RecurrentParams",
    # forms of the recurrent weights
    "LowRank",
    "BlockDiagonal",
    "Masked",
]
