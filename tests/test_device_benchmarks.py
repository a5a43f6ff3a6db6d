"""The benchmarks for a GPU at hand run: here on a CPU, in small."""

import json
import subprocess
import time
import types
from pathlib import Path

import jax.numpy as jnp
import pytest
from marks import in_matrix

from benchmarks import device_numbers, on_device, timing


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs a benchmark: (module, *arguments) -> (exit code, output)."""

    def run(module, *arguments):
        monkeypatch.setattr("sys.argv", [module.__name__, *map(str, arguments)])
        # The benchmark sets the precision of products for its whole process.
        monkeypatch.setattr("jax.config.update", lambda name, value: None)
        return module.main(), capsys.readouterr().out

    return run


@pytest.mark.parametrize("only", ["training steps", *in_matrix("")])
def test_a_cpu_gives_what_a_cpu_gives(run, only):
    code, output = run(device_numbers, "--only", only)
    assert code == 0
    lines = output.splitlines()[1:]
    assert len(lines) == (2 if only else 30)
    assert all(line.startswith("ok ") for line in lines[:-1])


def fails():
    raise RuntimeError("no kernel")


@pytest.mark.parametrize(
    ("wrong", "reported"),
    [
        (lambda: jnp.array([1.0, 1.1]), "WRONG case 7.1e-02"),
        (lambda: jnp.array([1.0, jnp.nan]), "WRONG case nan"),
        (fails, "WRONG case RuntimeError on the cpu: no kernel"),
    ],
)
def test_a_wrong_number_is_reported(run, monkeypatch, wrong, reported):
    case = device_numbers.Case("case", wrong, lambda: jnp.ones(2))
    monkeypatch.setattr(device_numbers, "cases", lambda has_cudnn: [case])
    code, output = run(device_numbers)
    assert code == 1
    assert reported in output
    assert output.endswith("1 of 1 wrong\n")


@pytest.mark.parametrize("ways", [["jaxrnn", "scan_unroll=5"], *in_matrix(list(on_device.WAYS))])
def test_layers_are_timed_and_each_row_is_written(run, monkeypatch, tmp_path, ways):
    monkeypatch.setattr(on_device, "WAYS", {name: on_device.WAYS[name] for name in ways})
    no_pauses = types.SimpleNamespace(perf_counter=time.perf_counter, sleep=lambda seconds: None)
    monkeypatch.setattr(timing, "time", no_pauses)
    _, output = run(on_device, "--small", "--repetitions", 5, "--json", tmp_path / "times")
    table = json.loads((tmp_path / "times").read_text())["us"]
    on_a_cpu = [name for name in ways if name != "cuDNN" and "float16" not in name]
    assert list(table) == [f"{cell} 8, B 2, T 6" for cell in ("rnn", "gru", "lstm")]
    for row in table.values():
        assert set(on_a_cpu) <= set(row) | {"PyTorch", "Flax nnx"}
        assert all(time > 0 for time in row.values())
    assert output.count("(1.00)") >= 3


def test_no_row_begins_after_the_time_is_up(run, tmp_path):
    _, output = run(on_device, "--small", "--seconds", 0)
    assert output.count("\n| ") == 1  # the head


def test_the_script_names_benchmarks_that_exist():
    script = Path("benchmarks/device.sh")
    subprocess.run(["bash", "-n", script], check=True)
    modules = {word for word in script.read_text().split() if word.startswith("benchmarks.")}
    assert modules == {
        "benchmarks.device_numbers",
        "benchmarks.on_device",
        "benchmarks.train_step",
    }
    for module in modules:
        assert Path(module.replace(".", "/") + ".py").exists()
