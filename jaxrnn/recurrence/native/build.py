"""Compiling generated code with the system's compiler, and keeping it in the user's cache.

The name of a library is a digest of all that it depends on: its source, the compiler, the flags,
the processor and jaxlib.  Nothing is loaded from a folder or file that other users can write.
"""

import contextlib
import ctypes
import functools
import hashlib
import itertools
import logging
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

logger = logging.getLogger(__name__)

FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno"),
    *("-fPIC", "-w"),
)
_JAXLIB = jax.lib.__version__  # type: ignore[attr-defined]  # its headers are compiled in
SECONDS = 60
"""How long a compiler may take."""
SWITCH = "JAXRNN_NATIVE"
"""The environment variable: 0 for never, 1 for wherever it is possible."""
PREFIX = "jaxrnn_"
"""Begins the names of the functions that XLA calls."""


_one_at_a_time = threading.Lock()  # two threads would compile the same code twice


class BuildError(Exception):
    """There is no library; the message says why."""


class Library(NamedTuple):
    """A compiled and loaded library."""

    digest: str
    functions: ctypes.CDLL


def build(
    source: str, shared: str, headers: dict[str, str], flags: tuple[str, ...] = ()
) -> Library:
    """Return the library of two C++ sources, from the cache or freshly compiled.

    Args:
        source: the text of the library's own source.
        shared: the text of a source that many libraries share.  It is compiled once.
        headers: the texts of the headers that they include, by name.
        flags: for the compiler of the first, besides `FLAGS`.

    Raises:
        BuildError: there is no compiler, no folder for the cache, or the code does not compile.
    """
    with _one_at_a_time:
        found = _build(source, shared, tuple(headers.items()), (*FLAGS, *flags))
    if isinstance(found, BuildError):
        raise found
    return found


@functools.cache  # a failure, too, happens once
def _build(
    source: str, shared: str, headers: tuple[tuple[str, str], ...], flags: tuple[str, ...]
) -> Library | BuildError:
    try:
        common = _compiled(shared, headers, (*FLAGS, "-c"), ".o")
        path = _compiled(source, headers, (*flags, "-shared"), ".so", common)
        return Library(path.stem, ctypes.CDLL(str(path)))
    except BuildError as error:
        failure = error
    except OSError as error:
        failure = BuildError(f"the compiled code cannot be loaded ({error})")
    logger.info("no native code: %s", failure)
    return failure


def _compiled(
    source: str,
    headers: tuple[tuple[str, str], ...],
    flags: tuple[str, ...],
    suffix: str,
    *objects: Path,
) -> Path:
    """Return the file that a source is compiled to, and linked with objects."""
    compiler = find_compiler()
    parts = [source, *itertools.chain(*headers), *compiler, *flags, processor(), _JAXLIB]
    parts += [each.name for each in objects]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    path = cache_folder() / f"{digest}{suffix}"
    if not path.exists():
        _compile(compiler.path, (*flags, *map(str, objects)), source, dict(headers), path)
    check_private(path, stat.S_ISREG, "a file")
    return path


class Compiler(NamedTuple):
    """A C++ compiler."""

    path: str
    version: str


def find_compiler() -> Compiler:
    """Return the system's C++ compiler, the value of CXX before others.

    Raises:
        BuildError: there is none that answers.
    """
    found = _find_compiler()
    if isinstance(found, BuildError):
        raise found
    return found


@functools.cache
def _find_compiler() -> Compiler | BuildError:
    try:
        return _first_compiler()
    except BuildError as error:
        return error


def _first_compiler() -> Compiler:
    if sys.platform not in ("linux", "darwin"):
        raise BuildError(f"no code is generated on {sys.platform}")
    names = [name for name in (os.environ.get("CXX"), "c++", "g++", "clang++") if name]
    found = [path for path in map(shutil.which, names) if path]
    if not found:
        raise BuildError(f"no C++ compiler was found: install one of {', '.join(names[-3:])}")
    return Compiler(found[0], _run([found[0], "--version"]))


@functools.cache
def processor() -> str:
    """Return what tells this processor from others, as far as compiled code is concerned."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    kinds = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(kinds)}))


def cache_folder() -> Path:
    """Return the folder of compiled code, made if it is missing.

    Raises:
        BuildError: it cannot be made, or is not the user's own.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        # A relative path is ignored, as XDG's specification demands.
        folder = (base if base.is_absolute() else Path.home() / ".cache") / "jaxrnn" / "native"
        for each in (folder.parent, folder):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home
        raise BuildError(f"there is no folder for compiled code ({error})") from error
    check_private(folder, stat.S_ISDIR, "a folder")
    return folder


def check_private(path: Path, is_right_kind: Callable[[int], bool], kind: str) -> None:
    """Raise a BuildError unless only this user can write to a path."""
    try:
        status = path.lstat()
    except OSError as error:
        raise BuildError(f"{path} cannot be read ({error})") from error
    if not is_right_kind(status.st_mode):
        raise BuildError(f"{path} is not {kind}")
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BuildError(f"other users can write to {path}: nothing is loaded from there")


def _compile(
    compiler: str, flags: tuple[str, ...], source: str, headers: dict[str, str], path: Path
) -> None:
    """Compile a library under another name and rename it to `path`: nobody loads half of one."""
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            for name, text in {**headers, "source.cc": source}.items():
                Path(folder, name).write_text(text)
            result = Path(folder, path.name)
            includes = ("-I", folder, "-I", jax.ffi.include_dir())
            # The source comes first: linkers read objects in order.
            _run([compiler, f"{folder}/source.cc", *flags, *includes, "-o", str(result)])
            result.chmod(0o700)
            with result.open("rb") as file:
                os.fsync(file.fileno())
            result.replace(path)
    except OSError as error:
        raise BuildError(f"compiled code cannot be written to {path.parent} ({error})") from error
    if path.suffix == ".so":
        logger.info("compiled native code for a cell in %.1f s", time.monotonic() - started)


def _run(command: list[str]) -> str:
    """Run a compiler, with all that it starts, for at most a minute; return its output."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise BuildError(f"the compiler {command[0]} does not run ({error})") from error
    try:
        output, _ = process.communicate(timeout=SECONDS)
    except BaseException as error:  # Ctrl-C, too, which does not reach its session
        _kill(process)
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        raise BuildError(f"the compiler {command[0]} took longer than {SECONDS} s") from error
    if process.returncode:
        lines = output.strip().splitlines() or [f"exit status {process.returncode}"]
        first = next((line for line in lines if "error" in line), lines[0])
        raise BuildError(f"the compiler {command[0]} failed: {first[:200]}")
    return output


def _kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # it may wait for a file system
        process.communicate(timeout=5)


@functools.cache
def register(digest: str, functions: Any) -> str:
    """Make the functions of a library known to XLA; return the prefix of their names."""
    for name in ("forward", "backward"):
        handler = jax.ffi.pycapsule(getattr(functions, name))
        jax.ffi.register_ffi_target(f"{PREFIX}{digest}_{name}", handler, platform="cpu")
    return f"{PREFIX}{digest}"
