"""The loops under the compiler's sanitizers: addresses, undefined behaviour, races."""

import os
import subprocess
from pathlib import Path

import pytest
from recurrence.cases import CELLS, H

import jaxrnn
from jaxrnn.recurrence import equations, linear_equations
from jaxrnn.recurrence.native import linear_source, source
from jaxrnn.recurrence.native.build import BuildError, find_compiler

LINEAR = {"min_gru": jaxrnn.min_gru(H), "sru": jaxrnn.sru(H), "rg_lru": jaxrnn.rg_lru(H)}


@pytest.mark.matrix
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "peephole", *LINEAR])
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_the_loops_are_clean(name, sanitizer, tmp_path):
    try:
        compiler = find_compiler().path
    except BuildError as error:
        pytest.skip(str(error))
    if name in LINEAR:
        driver, headers = "native_linear_driver.cc", linear_source.HEADERS
        text = linear_source.linear_cell_source(linear_equations.trace(LINEAR[name]))
    else:
        driver, headers = "native_driver.cc", source.HEADERS
        text = source.cell_source(equations.trace(CELLS[name]))
    for file, content in {"source.cc": text, **{h: source.file_text(h) for h in headers}}.items():
        (tmp_path / file).write_text(content)
    program, here = tmp_path / "program", Path(__file__).parent
    flags = ["-std=c++17", "-g", "-O1", "-march=native", "-pthread", "-w", "-I", str(here)]
    flags += [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    subprocess.run([compiler, *flags, "-I", tmp_path, here / driver, "-o", program], check=True)
    environment = os.environ | {"TSAN_OPTIONS": "halt_on_error=1"}
    done = subprocess.run([program], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.returncode) == ("clean\n", 0), done.stderr[:3000]
