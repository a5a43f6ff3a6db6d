"""Strict JAX for every test: eight CPU devices, no silent promotion of dtypes or ranks."""

import fcntl
import functools
import gc
import os
import shutil
from importlib.metadata import version
from pathlib import Path

# Before JAX starts: pmap and shard_map need several devices.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    # By default a program is split into 32 parts to compile side by side: a seventh of the time.
    " --xla_cpu_parallel_codegen_split_count=1"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Machine code that is not optimised compiles in half the time, of which the tests need most; so
# does the older of XLA's ways to write it, which jaxlib 0.11 no longer has.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1" and version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported

import jax
import jaxtyping
import pytest
from hypothesis import HealthCheck, settings
from jax._src.interpreters import mlir
from parallel.pair import finish as finish_pair
from parallel.pair import start_experiment
from subprocesses import STATEFUL, train

pytest_plugins = ["faults.matrix", "command_fixtures"]

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Compiled programs are kept from run to run; the workers share them.  A worker that reads what
# another one is writing compiles for itself: pyproject.toml ignores the warning.
user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
programs = Path(os.environ.setdefault("JAXRNN_TEST_CACHE", f"{user_cache}/jaxrnn-tests"))
jax.config.update("jax_compilation_cache_dir", str(programs / "tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pytest_configure(config):
    """Give Hypothesis no deadline, and the same examples each time; with --matrix, new ones."""
    settings.register_profile(
        "tests",
        deadline=None,
        derandomize=not config.getoption("--matrix"),
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("tests")


def pytest_sessionstart(session):
    """Begin anew where programs of former versions have piled up: a run writes about 200 MB."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        files = [path for path in programs.rglob("*") if path.is_file()]
        if sum(path.stat().st_size for path in files) > 2e9:
            shutil.rmtree(programs, ignore_errors=True)


def pytest_collection_finish(session):
    """Let the garbage collector, a twentieth of the tests' time, leave out what was imported."""
    gc.freeze()
    gc.set_threshold(20_000)


# JAX makes an MLIR context for each program that it lowers, and keeps it with the program.  A new
# one takes 10 ms, and longer by all those that are alive: with three thousand, two thirds of the
# tests' time.
mlir.make_ir_context = functools.cache(mlir.make_ir_context)


@pytest.fixture(scope="session")
def compiled_programs(tmp_path_factory):
    """A folder with the programs of the runs of `subprocesses.STATEFUL`; one for all workers."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "programs").exists():
            one, pair = folder / "one", folder / "pair"
            with pytest.MonkeyPatch.context() as variables:
                variables.setenv("JAX_COMPILATION_CACHE_DIR", str(folder / "programs"))
                train(one, "--epochs", 1)
                ends = finish_pair(
                    start_experiment("train", *STATEFUL, "--out", pair, "--epochs", 1)
                )
                assert [code for code, *_ in ends] == [0, 0], ends
    return folder / "programs"


@pytest.fixture
def only_compiled_programs(compiled_programs, monkeypatch):
    """For tests that kill commands or limit files, which could leave half a program behind."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(compiled_programs))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "1e9")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Return the number of cores: each worker imports all libraries, and compiles for itself."""
    return os.cpu_count()


@pytest.fixture
def x64():
    """float64 for one test: derivatives to 1e-10 tell a wrong rule from rounding."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def as_users_run():
    """Without the run-time check of annotations, so that the library's own errors are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
