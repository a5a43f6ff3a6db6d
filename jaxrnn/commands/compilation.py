"""Compilation: how long it took, and a folder that keeps its results."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

BACKEND_COMPILE = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def timed_compilation() -> Iterator[Callable[[], float]]:
    """Yield a function that returns the seconds XLA has spent compiling so far."""
    durations: list[float] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event == BACKEND_COMPILE:
            durations.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield lambda: sum(durations)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def keep_programs_in(folder: Path) -> None:
    """Make JAX keep all compiled programs in a folder, and reuse those it finds there."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
