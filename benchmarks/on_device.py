"""Speed of a recurrent layer on a GPU: our ways to run it, Flax, and PyTorch's cuDNN.

    python -m benchmarks.on_device --json FILE

Times the gradient of a layer's outputs with respect to its parameters and inputs, in microseconds
per time step, forward and backward together.  Products in 32 bit take the default precision of each
library: TF32 for XLA and for cuDNN.  The ways of a row are compiled in parallel before the first is
timed.  The file is written after each row, so that a run that is cut off keeps what it measured.

    --seconds 150     begin no further row after this time
    --small           tiny sizes, for a rehearsal on a CPU
"""

import functools
import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

import jaxrnn
from benchmarks.peers import pytorch
from benchmarks.timing import OURS, arguments, compare
from benchmarks.workloads import Step
from jaxrnn.model_config import CELLS

GRAPHS: dict[str, str | bool] = {
    "xla_gpu_enable_command_buffer": (
        "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,DYNAMIC_SLICE_FUSION,WHILE"
    )
}
"""Options of XLA's compiler that make a loop one CUDA graph."""
THREADS = 8


class LayerSizes(NamedTuple):
    """A recurrent layer over vectors of its own size, and a batch."""

    cell: Literal["rnn", "gru", "lstm"]
    hidden_size: int
    batch_size: int
    num_steps: int

    @property
    def name(self) -> str:
        """The row's heading."""
        return f"{self.cell} {self.hidden_size}, B {self.batch_size}, T {self.num_steps}"

    @property
    def inputs(self) -> Any:
        """Random vectors `[T, B, H]`."""
        shape = (self.num_steps, self.batch_size, self.hidden_size)
        return jax.random.normal(jax.random.key(0), shape)


ROWS = (
    LayerSizes("lstm", 256, 32, 256),
    LayerSizes("lstm", 768, 16, 1024),  # FlashRNN's
    LayerSizes("gru", 256, 32, 256),
    LayerSizes("rnn", 256, 32, 256),
    LayerSizes("lstm", 128, 1, 1024),
    LayerSizes("lstm", 512, 128, 256),
    LayerSizes("gru", 512, 1, 1024),
    LayerSizes("rnn", 1024, 32, 1024),
    LayerSizes("lstm", 1024, 32, 1024),
    LayerSizes("gru", 128, 128, 1024),
)
SMALL_ROWS = tuple(LayerSizes(cell, 8, 2, 6) for cell in ("rnn", "gru", "lstm"))


def ours(
    sizes: LayerSizes,
    implementation: str | None = None,
    scan_unroll: int | None = None,
    dtype: Any = None,
    graphs: bool = False,
) -> Step:
    """Compile our layer."""
    if implementation == "cudnn" and (sizes.cell != "lstm" or jax.default_backend() != "gpu"):
        raise NotImplementedError("cuDNN has only the LSTM, on GPUs")
    layer = jaxrnn.recurrent(
        CELLS[sizes.cell](sizes.hidden_size),
        implementation=implementation,
        scan_unroll=scan_unroll,
        dtype=dtype,
    )
    params = layer.init(jax.random.key(1), sizes.hidden_size)
    return _compile(loss_of(layer), params, sizes.inputs, GRAPHS if graphs else {})


def loss_of(layer: jaxrnn.Layer) -> Callable[[Any, Any], Any]:
    """Return (params, inputs) -> a loss of all outputs of a layer."""

    def loss(params: Any, inputs: Any) -> Any:
        return (layer.apply(params, inputs)[0].astype(jnp.float32) ** 2).mean()

    return loss


def flax(sizes: LayerSizes) -> Step:
    """Compile Flax's layer."""
    loss, params = flax_loss(sizes)
    return _compile(loss, params, sizes.inputs, {})


def flax_loss(sizes: LayerSizes) -> tuple[Callable[[Any, Any], Any], Any]:
    """Return the same loss of Flax's layer, and its parameters."""
    from flax import nnx

    cells: Any = {"rnn": nnx.SimpleCell, "gru": nnx.GRUCell, "lstm": nnx.OptimizedLSTMCell}
    rngs, size = nnx.Rngs(0), sizes.hidden_size
    layer = nnx.RNN(cells[sizes.cell](size, size, rngs=rngs), time_major=True, rngs=rngs)
    graph, params, rest = nnx.split(layer, nnx.Param, ...)  # type: ignore[misc]

    def loss(params: Any, inputs: Any) -> Any:
        return (nnx.merge(graph, params, rest)(inputs, rngs=nnx.Rngs(0)) ** 2).mean()

    return loss, params


def torch(sizes: LayerSizes, dtype: str = "float32") -> Step:
    """Make PyTorch's layer: cuDNN's kernels on a GPU."""
    import torch

    module = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[sizes.cell]
    if dtype != "float32" and pytorch.device().type == "cpu":
        raise NotImplementedError("16 bit are for GPUs")
    place = {"device": pytorch.device(), "dtype": getattr(torch, dtype)}
    layer = module(sizes.hidden_size, sizes.hidden_size, **place)
    layer.flatten_parameters()
    inputs = torch.randn(sizes.inputs.shape, requires_grad=True, **place)

    def step() -> None:
        layer.zero_grad()
        inputs.grad = None
        layer(inputs)[0].float().square().mean().backward()
        pytorch.wait()

    return step


WAYS: dict[str, Callable[[LayerSizes], Step]] = {
    OURS: ours,
    **{
        f"scan_unroll={steps}" + ", graph" * graphs: functools.partial(
            ours, scan_unroll=steps, graphs=graphs
        )
        for steps, graphs in itertools.product((1, 5, 10), (False, True))
    },
    "bfloat16": functools.partial(ours, dtype=jnp.bfloat16),
    "cuDNN": functools.partial(ours, implementation="cudnn"),
    "Flax nnx": flax,
    "PyTorch": torch,
    "PyTorch, bfloat16": functools.partial(torch, dtype="bfloat16"),
    "PyTorch, float16": functools.partial(torch, dtype="float16"),
}


def _compile(loss: Any, params: Any, inputs: Any, options: dict[str, str | bool]) -> Step:
    compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(params, inputs).compile(options)
    return lambda: jax.block_until_ready(compiled(params, inputs))


@functools.cache
def _all_ways(sizes: LayerSizes) -> dict[str, Future[Step]]:
    """Compile all ways to run a row in parallel, and wait for the last."""
    with ThreadPoolExecutor(THREADS) as pool:
        return {name: pool.submit(way, sizes) for name, way in WAYS.items()}


def _compiled_way(name: str, sizes: LayerSizes) -> Step:
    """Return a step; what a library raises leaves it out of the row, as `compare` reports."""
    try:
        return _all_ways(sizes)[name].result()
    except (ImportError, NotImplementedError):
        raise
    except Exception as error:
        raise NotImplementedError(f"{type(error).__name__}: {str(error)[:300]}") from error


def main() -> None:
    """Compile and measure one row after another, and print the table."""
    parser = arguments(__doc__, repetitions=10)
    parser.add_argument("--seconds", type=float, default=150, help="begin no row after this time")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for a rehearsal")
    options = parser.parse_args()
    rows = SMALL_ROWS if options.small else ROWS
    end = time.monotonic() + options.seconds
    compare(
        {name: functools.partial(_compiled_way, name) for name in WAYS},
        itertools.takewhile(lambda sizes: time.monotonic() < end, rows),
        options,
        unit="us",
        per=lambda sizes: sizes.num_steps / 1000,
    )


if __name__ == "__main__":
    main()
