"""Compiling native code: what is kept, what is refused, and what happens where nothing can be."""

import concurrent.futures
import logging
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jaxrnn
from jaxrnn.recurrence.native import build, choice

SOURCE = 'extern "C" int half(); extern "C" int answer() { return 2 * half(); }'
SHARED = 'extern "C" int half() { return 21; }'

needs_a_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="there is no C++ compiler"
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files have no owners here")


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch, tmp_path):
    """An empty cache folder, and nothing remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    forget()
    yield
    monkeypatch.undo()
    forget()


def forget():
    for function in (build._build, build._find_compiler, build.processor, choice._kernel):
        function.cache_clear()


@pytest.fixture
def compiler(monkeypatch):
    """A function that takes the compiler's place, given the text of a shell script."""

    def install(script, tmp_path):
        path = tmp_path / "compiler"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("CXX", str(path))
        forget()

    return install


def libraries(tmp_path):
    return sorted(tmp_path.glob("jaxrnn/native/*.so"))


@needs_a_compiler
def test_code_is_compiled_once_and_kept(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "jaxrnn")
    assert build.build(SOURCE, SHARED, {}).functions.answer() == 42
    assert [message[:24] for message in caplog.messages] == ["compiled native code for"]
    (path,) = libraries(tmp_path)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    forget()
    monkeypatch.setattr(build, "_compile", lambda *_: pytest.fail("compiled again"))
    assert build.build(SOURCE, SHARED, {}).functions.answer() == 42


@needs_a_compiler
def test_threads_that_need_the_same_code_compile_it_once(tmp_path, caplog):
    caplog.set_level(logging.INFO, "jaxrnn")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        made = [pool.submit(build.build, SOURCE, SHARED, {}) for _ in range(4)]
    assert len({each.result().digest for each in made}) == len(libraries(tmp_path)) == 1
    assert len(caplog.messages) == 1


@needs_a_compiler
def test_other_sources_flags_and_compilers_have_other_libraries(tmp_path, compiler):
    first = build.build(SOURCE, SHARED, {}).digest
    others = {
        build.build(SOURCE + " ", SHARED, {}).digest,
        build.build(SOURCE, SHARED, {}, ("-DX",)).digest,
    }
    compiler('[ "$1" = --version ] && echo mine && exit; exec c++ "$@"', tmp_path)
    others.add(build.build(SOURCE, SHARED, {}).digest)
    assert len(others | {first}) == 4
    # The shared source is compiled once for each compiler.
    assert len(list(tmp_path.glob("jaxrnn/native/*.o"))) == 2


def test_no_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    check_scan("no C\\+\\+ compiler was found: install one of c\\+\\+, g\\+\\+, clang\\+\\+")


def test_a_broken_compiler(tmp_path, compiler):
    compiler('[ "$1" = --version ] && exit; echo "internal error"; exit 1', tmp_path)
    check_scan("compiler failed: internal error")


def test_a_compiler_that_does_not_answer(tmp_path, compiler, monkeypatch):
    monkeypatch.setattr(build, "SECONDS", 0.2)
    (tmp_path / "pids").touch()
    compiler(f"echo $$ >> {tmp_path}/pids; exec sleep 60", tmp_path)
    started = time.monotonic()
    check_scan("took longer than 0.2 s")
    check_scan("took longer than 0.2 s", jaxrnn.gru(3))  # the compiler is not asked again
    assert time.monotonic() - started < 60
    for pid in (tmp_path / "pids").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_an_interrupted_compiler_is_stopped(tmp_path, compiler, monkeypatch):
    """It has a session of its own, which Ctrl-C does not reach."""
    pids, communicate = [], subprocess.Popen.communicate

    def interrupted(process, *, timeout):
        if timeout == build.SECONDS:
            pids.append(process.pid)
            raise KeyboardInterrupt
        return communicate(process, timeout=timeout)

    compiler("exec sleep 60", tmp_path)
    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build.find_compiler()
    with pytest.raises(ProcessLookupError):
        os.kill(*pids, 0)


def test_a_compiler_that_hangs_while_compiling(tmp_path, compiler, monkeypatch):
    monkeypatch.setattr(build, "SECONDS", 0.2)
    compiler('[ "$1" = --version ] && exit; sleep 60', tmp_path)
    check_scan("took longer than 0.2 s")
    assert list(tmp_path.glob("jaxrnn/native/*")) == []


@needs_a_compiler
def test_a_relative_cache_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert build.cache_folder() == tmp_path / ".cache/jaxrnn/native"
    assert stat.S_IMODE((tmp_path / ".cache/jaxrnn").stat().st_mode) == 0o700


def test_a_file_of_the_package_that_is_missing(monkeypatch):
    """Some ways to bundle Python programs leave out what is not Python."""
    monkeypatch.setattr(choice, "HEADERS", ("missing.h",))
    check_scan("a file of the package is missing")


@needs_a_compiler
def test_no_home(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    check_scan("no folder for compiled code .*determine home")


def no_home():
    raise RuntimeError("Could not determine home directory.")


@needs_a_compiler
def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    check_scan("no folder for compiled code")


@needs_a_compiler
def test_a_full_disk(monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    check_scan("cannot be written to .*No space left")


@needs_a_compiler
@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_folder_that_others_can_write_to(tmp_path, mode):
    build.build(SOURCE, SHARED, {})
    (tmp_path / "jaxrnn" / "native").chmod(mode)
    check_scan("other users can write to")


@needs_a_compiler
def test_a_file_that_others_can_write_to(tmp_path):
    build.build(SOURCE, SHARED, {})
    libraries(tmp_path)[0].chmod(0o720)
    forget()
    with pytest.raises(build.BuildError, match="other users can write to"):
        build.build(SOURCE, SHARED, {})


@needs_a_compiler
def test_a_link_in_place_of_a_file(tmp_path):
    build.build(SOURCE, SHARED, {})
    (path,) = libraries(tmp_path)
    path.rename(tmp_path / "elsewhere.so")
    path.symlink_to(tmp_path / "elsewhere.so")
    forget()
    with pytest.raises(build.BuildError, match="is not a file"):
        build.build(SOURCE, SHARED, {})


@needs_a_compiler
def test_a_folder_of_another_user(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    check_scan("other users can write to")


@needs_a_compiler
def test_a_library_that_cannot_be_loaded(monkeypatch):
    def compile_nonsense(*arguments):
        arguments[-1].write_bytes(b"nonsense")

    monkeypatch.setattr(build, "_compile", compile_nonsense)
    with pytest.raises(build.BuildError, match="cannot be loaded"):
        build.build(SOURCE, SHARED, {})


def test_another_operating_system(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    check_scan("no code is generated on win32")


def check_scan(reason, cell=None):
    """The reason is named, and a cell runs all the same."""
    cell = cell or jaxrnn.rnn(3)
    named = jaxrnn.implementations(cell)["native"]
    assert "\n" not in named
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), 2)
    inputs = jnp.ones((9, 1, 2))
    with pytest.raises(ValueError, match=reason):
        jaxrnn.unroll(cell, params, inputs, implementation="native")
    run = jax.jit(lambda params: jaxrnn.unroll(cell, params, inputs)[0])
    assert "jaxrnn_" not in run.lower(params).as_text()
    assert run(params).shape == (9, 1, 3)
