"""Data parallelism: the rows of each batch, and their carry, on several devices.

Every device has all parameters.  Outside the compiled program arrays are global, whatever the
devices and processes: `[B, ...]` means the rows of all of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxrnn.training.config import TrainConfig
from jaxrnn.training.memory import physical_memory
from jaxrnn.training.train_step import TrainState
from jaxrnn.typing import HostArray

AXIS = "data"
"""The name of the axis over which the rows are split."""

Program = Callable[..., Any]
"""(state, (tokens [K, T + 1, B], starts [K, B], lengths [K, B] or None), todo)
-> (state, todo, metrics [K])."""


class Placement(NamedTuple):
    """The functions that put a program and its data on several devices."""

    axis_name: str | None
    """The axis that a training step has to reduce over; None if the step sees all rows."""
    put_state: Callable[[TrainState], TrainState]
    """Put a state on the devices, wherever it is."""
    put_rows: Callable[[tuple[int, ...], Callable[[slice], HostArray]], Any]
    """(leading shape, read(rows) -> host array) -> device array [*leading, B], for the program.
    Each process reads only the rows of its own devices."""
    compile: Callable[..., Program]
    """(program, arguments) -> the program on all devices, compiled for such arguments.
    The compiled program donates the state's buffers."""


def make_placement(config: TrainConfig) -> Placement:
    """Return the placement that a configuration names.

    Raises:
        ValueError: there are too few devices, or they cannot share the batch equally.
    """
    num_devices = count_devices(config)
    mesh = Mesh(np.array(jax.devices()[:num_devices]), (AXIS,))
    make = {"jit": _by_shardings, "pmap": _by_pmap}[config.parallel]
    return make(mesh, config.batch_size)


def count_devices(config: TrainConfig) -> int:
    """Return the number of devices that a configuration asks for.

    Raises:
        ValueError: there are too few, or they cannot share the batch equally.
    """
    present, processes = jax.device_count(), jax.process_count()
    num_devices = config.devices or (present if processes > 1 else 1)
    if num_devices > present:
        platform = jax.devices()[0].platform
        hint = f": JAX_NUM_CPU_DEVICES={num_devices} simulates them" if platform == "cpu" else ""
        raise ValueError(
            f"devices must be at most {present}, the {platform} devices that are present, got"
            f" {num_devices}{hint}"
        )
    if processes > 1 and num_devices != present:
        raise ValueError(
            f"devices must be {present}, those of all {processes} processes, got {num_devices}"
        )
    config.check_rows(num_devices)
    return num_devices


def local(arrays: Any) -> Any:
    """Return a local copy of arrays that every device has, to use without other processes."""
    return jax.tree.map(lambda array: array.addressable_data(0), arrays)


def _put_state(mesh: Mesh, state: TrainState) -> TrainState:
    shared, by_rows = NamedSharding(mesh, P()), NamedSharding(mesh, P(AXIS))
    if jax.process_count() == 1:
        return jax.device_put(state, _state_of(shared, by_rows))

    def put(array: Any, sharding: NamedSharding) -> Any:
        if not array.is_fully_addressable:  # already on all devices
            return array
        host = np.asarray(array)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    key = put(jax.random.key_data(state.key), shared)
    others = jax.tree.map(lambda array: put(array, shared), state.replace(carry=(), key=()))
    return others.replace(
        carry=jax.tree.map(lambda rows: put(rows, by_rows), state.carry),
        key=jax.random.wrap_key_data(key, impl=jax.random.key_impl(state.key)),
    )


def _state_of(shared: Any, by_rows: Any) -> TrainState:
    return TrainState(params=shared, opt_state=shared, carry=by_rows, key=shared, step=shared)


def _by_shardings(mesh: Mesh, batch_size: int) -> Placement:
    """Split the rows by shardings: the compiler of `jax.jit` inserts the communication."""
    shared, by_rows = NamedSharding(mesh, P()), NamedSharding(mesh, P(AXIS))

    def put_rows(leading: tuple[int, ...], read: Callable[[slice], HostArray]) -> Any:
        sharding = NamedSharding(mesh, P(*(None,) * len(leading), AXIS))
        return jax.make_array_from_callback(
            (*leading, batch_size),
            sharding,
            lambda index: read(index[-1]),  # type: ignore[index]
        )

    def compile(program: Program, *arguments: Any) -> Program:
        out_shardings = (_state_of(shared, by_rows), shared, shared)
        jitted = jax.jit(program, donate_argnums=0, out_shardings=out_shardings)
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]  # nothing to compile
            return jitted
        compiled = jitted.lower(*arguments).compile()
        _check_memory(compiled)
        return compiled

    return Placement(None, lambda state: _put_state(mesh, state), put_rows, compile)


def _check_memory(compiled: Any) -> None:
    """Raise if the program needs more memory than a CPU has: XLA would abort the process."""
    if jax.default_backend() != "cpu" or (needs := compiled.memory_analysis()) is None:
        return
    needed = needs.temp_size_in_bytes + needs.argument_size_in_bytes
    if needed > physical_memory():
        raise ValueError(
            f"a training step needs {needed:,} bytes of memory, and this machine has"
            f" {physical_memory():,}: choose a smaller batch_size or num_steps, or accumulate"
        )


def _by_pmap(mesh: Mesh, batch_size: int) -> Placement:
    """Split the rows by `jax.pmap`: each device runs the program on its own rows."""
    num_devices = mesh.size
    num_rows = batch_size // num_devices
    specs = _state_of(P(), P(AXIS))
    axes = _state_of(None, 0)

    def put_rows(leading: tuple[int, ...], read: Callable[[slice], HostArray]) -> Any:
        def read_part(index: Any) -> HostArray:
            device = index[0].start or 0
            return read(slice(device * num_rows, (device + 1) * num_rows))[None]

        shape = (num_devices, *leading, num_rows)
        array = jax.make_array_from_callback(shape, NamedSharding(mesh, P(AXIS)), read_part)
        return multihost_utils.global_array_to_host_local_array(array, mesh, P(AXIS))

    def to_devices(state: TrainState) -> TrainState:
        state = multihost_utils.global_array_to_host_local_array(state, mesh, specs)
        carry = jax.tree.map(lambda x: x.reshape(-1, num_rows, *x.shape[1:]), state.carry)
        return state.replace(carry=carry)

    def from_devices(state: TrainState) -> TrainState:
        carry = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), state.carry)
        state = state.replace(carry=carry)
        return multihost_utils.host_local_array_to_global_array(state, mesh, specs)

    def compile(program: Program, state: TrainState, *others: Any) -> Program:
        mapped = jax.pmap(
            program,
            axis_name=AXIS,
            in_axes=(axes, 0, None),
            out_axes=(axes, None, None),
            devices=None if jax.process_count() > 1 else list(mesh.devices),
            donate_argnums=0,
        )
        if not jax.config.jax_disable_jit:  # type: ignore[attr-defined]
            mapped.lower(to_devices(state), *others).compile()  # cached for the calls below

        def run_on_all(state: TrainState, *others: Any) -> Any:
            state, todo, metrics = mapped(to_devices(state), *others)
            return from_devices(state), todo, metrics

        return run_on_all

    return Placement(AXIS, lambda state: _put_state(mesh, state), put_rows, compile)
