"""The loops under the compiler's sanitizers: addresses, undefined behaviour, races."""

import os
import subprocess
from pathlib import Path

import pytest
from recurrence.cases import CELLS

from jaxrnn.recurrence.equations import trace
from jaxrnn.recurrence.native.build import BuildError, find_compiler
from jaxrnn.recurrence.native.source import HEADERS, cell_source, file_text

DRIVER = Path(__file__).parent / "native_driver.cc"


@pytest.mark.matrix
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "peephole"])
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_the_loops_are_clean(name, sanitizer, tmp_path):
    try:
        compiler = find_compiler().path
    except BuildError as error:
        pytest.skip(str(error))
    source = cell_source(trace(CELLS[name]))
    for file, text in {"source.cc": source, **{h: file_text(h) for h in HEADERS}}.items():
        (tmp_path / file).write_text(text)
    program = tmp_path / "program"
    flags = ["-std=c++17", "-g", "-O1", "-march=native", "-pthread", "-w"]
    flags += [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    subprocess.run([compiler, *flags, "-I", tmp_path, DRIVER, "-o", program], check=True)
    environment = os.environ | {"TSAN_OPTIONS": "halt_on_error=1"}
    done = subprocess.run([program], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.returncode) == ("clean\n", 0), done.stderr[:3000]
