"""The Python in the documentation, as it stands; and that its cells are what it says."""

import ast
import gzip
import importlib
import re
import sys
from importlib.metadata import requires
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import jaxrnn
from jaxrnn.commands import command_line
from jaxrnn.runs.run import Run

DOCS = Path(__file__).parent.parent / "docs"
B, H, T, D = 2, 4, 5, 3


def blocks_of(name):
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text("utf-8"), re.S)


def run_page(name):
    """Block after block in one session, as a reader would type them."""
    session = {}
    for block in blocks_of(name):
        exec(block, session)
    return session


@pytest.fixture(scope="module")
def page():
    return run_page("own_cell.md")


def test_own_cells_run_in_layers_with_lengths(page):
    assert page["outputs"].shape == (20, 3, 16)
    assert not page["outputs"][7:, 2].any()
    assert 0 < max(jax.tree.leaves(page["difference"])) < 1e-4


@pytest.mark.parametrize(
    ("own", "built_in"),
    [
        ("my_lstm", jaxrnn.lstm),
        ("my_gru", jaxrnn.gru),
    ],
)
def test_own_cells_are_the_built_in_ones(page, own, built_in, x64):
    params = jaxrnn.recurrent(built_in(H)).init(jax.random.key(0), D)
    inputs = jax.random.normal(jax.random.key(1), (T, B, D), jnp.float32)

    def value_and_grad(cell):
        def loss(params):
            outputs, _ = jaxrnn.unroll(
                cell, params, inputs, cell.initial_carry(B, jnp.float32), lengths=np.array([5, 2])
            )
            return jnp.sin(outputs).sum()

        return jax.tree.leaves(jax.value_and_grad(loss)(params))

    for a, b in zip(value_and_grad(page[own](H)), value_and_grad(built_in(H)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)  # float32 sums of a few dozen terms


def numpy_normalise(x, gain):
    return gain * (x - x.mean()) / np.sqrt(x.var() + 1e-5)


def peephole_step(own, x, h, carry):
    """Gers and Schmidhuber (2000) in NumPy, one row."""
    w_i, w_f, w_o = own
    i, f, g, o = np.split(x + h, 4)
    i, f = (reference.sigmoid(gate + w * carry["memory"]) for gate, w in ((i, w_i), (f, w_f)))
    memory = f * carry["memory"] + i * np.tanh(g)
    return {"hidden": reference.sigmoid(o + w_o * memory) * np.tanh(memory), "memory": memory}


def normalised_step(own, x, h, carry):
    """Ba, Kiros and Hinton (2016), equations 20 to 22, without the additive terms; one row."""
    gates = numpy_normalise(x, own["input"]) + numpy_normalise(h, own["hidden"])
    i, f, g, o = np.split(gates, 4)
    memory = reference.sigmoid(f) * carry["memory"] + reference.sigmoid(i) * np.tanh(g)
    hidden = reference.sigmoid(o) * np.tanh(numpy_normalise(memory, own["memory"]))
    return {"hidden": hidden, "memory": memory}


@pytest.mark.parametrize(
    ("name", "step"), [("peephole_lstm", peephole_step), ("normalised_lstm", normalised_step)]
)
def test_cells_with_own_parameters_equal_numpy(page, name, step, x64):
    cell = page[name](H)
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    params = jax.tree.map(lambda p: p.astype(jnp.float64), params)
    inputs = jax.random.normal(jax.random.key(1), (T, B, D), jnp.float64)
    outputs, _ = jaxrnn.unroll(cell, params, inputs, cell.initial_carry(B, jnp.float64))
    w_ih, w_hh, b_ih = (np.asarray(p) for p in params[:3])
    own = jax.tree.map(np.asarray, params.cell)
    for b in range(B):
        carry = {"hidden": np.zeros(H), "memory": np.zeros(H)}
        for t in range(T):
            input_gates = np.asarray(inputs[t, b]) @ w_ih + b_ih
            carry = step(own, input_gates, carry["hidden"] @ w_hh, carry)
            np.testing.assert_allclose(outputs[t, b], carry["hidden"], rtol=1e-9, atol=1e-12)


def test_the_step_cell_equals_numpy(page, x64):
    cell = page["deep_transition"](H)
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    params = jax.tree.map(lambda p: p.astype(jnp.float64), params)
    inputs = jax.random.normal(jax.random.key(1), (T, B, D), jnp.float64)
    lengths = np.array([T, 2])
    outputs, _ = jaxrnn.unroll(
        cell, params, inputs, cell.initial_carry(B, jnp.float64), lengths=lengths
    )
    w_ih, w_hh, b_ih, between = (np.asarray(p) for p in (*params[:3], params.cell))
    for b in range(B):
        hidden = np.zeros(H)
        for t in range(lengths[b]):
            first = np.tanh(np.asarray(inputs[t, b]) @ w_ih + b_ih + hidden @ w_hh)
            hidden = np.tanh(first @ between)
            np.testing.assert_allclose(outputs[t, b], hidden, rtol=1e-10)
        assert not outputs[lengths[b] :, b].any()


def test_the_contracts_page_runs(as_users_run):  # a symbol for the batch size is no int
    pytest.importorskip("flatbuffers", reason="jax.export needs it to serialise")
    assert run_page("recurrence.md")["outputs"].shape == (3, 2)


def test_the_page_on_own_sequences_runs_and_its_heads_learn():
    with jax.numpy_dtype_promotion("standard"):  # which optax needs
        session = run_page("own_sequences.md")
    assert session["outputs"].shape == (6, 16)
    chance = float(np.log(2))
    losses = [session[name].column("loss") for name in session if name.endswith("history")]
    classifier, tagger, forecaster = losses
    assert classifier[-1] < chance / 2
    assert tagger[-1] < chance / 2
    assert forecaster[-1] < forecaster[0] / 2


def test_the_commands_and_the_python_of_the_page_on_fine_tuning_run(
    run, tmp_path, monkeypatch, as_users_run
):
    monkeypatch.chdir(tmp_path)
    lines = "月亮走我也走\n月亮睡我也睡\n月亮船摇啊摇\n"
    (tmp_path / "lullaby.txt").write_text(lines * 12, encoding="utf-8")
    (commands,) = re.findall(r"```sh\n(.*?)```", (DOCS / "fine_tuning.md").read_text("utf-8"), re.S)
    for command in commands.splitlines():
        _, *words = command.split()
        code, said, complained = run(*words)
        assert code == 0, complained
    assert said.startswith("月亮")
    page = run_page("fine_tuning.md")
    assert page["model"].vocab_size == len(page["vocabulary"])
    assert page["after"] < page["before"] / 2
    assert not jax.tree.leaves(page["params"])[0].is_deleted()


SPRING = "春水流过桥下\n柳条轻轻垂着\n我在桥上等船\n船上有人唱歌\n"
AUTUMN = "秋风吹落叶子\n叶子落满小路\n路边有人回头\n回头不见来处\n"


@pytest.fixture
def build(monkeypatch, capsys):
    """A function that builds the run of a command line of `jaxrnn train`, and does not train it."""

    def build(*words):
        runs, flags = [], importlib.import_module("jaxrnn.commands.train").Flags
        monkeypatch.setattr(sys, "argv", list(words))
        with pytest.raises(SystemExit):
            command_line.main(lambda settings: runs.append(Run(settings)), flags)
        complained = capsys.readouterr().err
        assert runs, complained

    return build


def test_the_commands_and_the_python_of_the_page_on_own_texts_run(
    run, build, how_many, tmp_path, monkeypatch, as_users_run
):
    """Without `--matrix` only those networks are trained that the page lets write."""
    pytest.importorskip("charset_normalizer")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poems").mkdir()
    (tmp_path / "poems" / "spring.txt").write_text(SPRING * 6, encoding="utf-8")
    (tmp_path / "poems" / "winter.txt.gz").write_bytes(gzip.compress((AUTUMN * 6).encode()))
    (tmp_path / "autumn.txt").write_text(AUTUMN * 6, encoding="gb18030")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2)
    page = (DOCS / "own_text.md").read_text("utf-8")
    commands = "".join(re.findall(r"```sh\n(.*?)```", page, re.S)).splitlines()
    writers, all_runs = (re.findall(rf"{word} (\S+)", page) for word in ("generate", "--out"))
    trained = how_many(writers, all_runs)
    for command in commands:
        _, *words = command.split()
        if words[0] == "train" and words[-1] not in trained:
            build(*words)
            continue
        code, said, complained = run(*words)
        assert code == 0, complained
        if words[0] == "generate":
            assert said.startswith(words[3])
    (refused,) = re.findall(r"```text\n(.*?)```", page, re.S)
    assert run("train", "--corpus", "autumn.txt")[2] == refused
    names = run_page("own_text.md")
    assert len(names["vocabulary"]) == 12
    assert bytes(names["pixels"].tolist()) == (tmp_path / "picture.png").read_bytes()


def test_the_page_on_saving_gives_back_what_was_saved(tmp_path, monkeypatch, as_users_run):
    pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    page = run_page("save_params.md")
    assert jax.tree.structure(page["restored"]) == jax.tree.structure(page["params"])
    for a, b in zip(*(jax.tree.leaves(page[n]) for n in ("restored", "params")), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        page["outputs"], page["layer"].apply(page["params"], jnp.ones((5, 2, 8)))[0]
    )
    assert page["names_of"](page["params"])[:3] == ["0.w_ih", "0.w_hh", "0.b_ih"]


def test_the_page_on_gpus_runs_on_a_cpu(as_users_run):
    page = run_page("gpu.md")
    assert page["outputs"].shape == (20, 8, 64)
    assert page["config"].devices == jax.device_count()


def test_the_page_on_native_code_prints_what_it_shows(capsys, as_users_run):
    if jaxrnn.implementations(jaxrnn.rnn(2))["native"] != "available":
        pytest.skip("no compiler")
    run_page("native.md")
    shown = re.findall(r"```\n\n```\n(.*?)```", (DOCS / "native.md").read_text("utf-8"), re.S)
    assert capsys.readouterr().out == "".join(shown)


def test_the_page_on_scaling_runs(as_users_run, capsys):
    with jax.numpy_dtype_promotion("standard"):
        run_page("scaling.md")
    assert abs(float(capsys.readouterr().out) - np.log(28)) < 0.1


def test_the_generation_page_runs(capsys):
    page = run_page("generation.md")
    assert page["continued"].startswith("the cat sat on")
    assert page["sentence"].startswith(" lay on")
    said = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in said[:6]] == ["the"] * 3 + ["a"] * 3
    model, params, vocabulary = (page[name] for name in ("model", "params", "vocabulary"))
    (text,) = jaxrnn.generate(model, params, vocabulary, ["a dog"], 40, stop="\n")
    assert ["a dog" + line for line in said[7:]] == [text]


def test_the_interop_page_runs(as_users_run):
    for library in ("torch", "keras", "haiku", "equinox"):
        pytest.importorskip(library)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert run_page("interop.md")["outputs"].shape == (5, 3, 4)


def packages_of(name):
    """What the blocks of a page import, without what `pip install jaxrnn` brings."""
    nodes = [node for block in blocks_of(name) for node in ast.walk(ast.parse(block))]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    extra = {"interop"} if "jaxrnn.interop.export" in modules else set()  # for flatbuffers
    brought = {re.match(r"\w+", line)[0] for line in requires("jaxrnn") if "extra ==" not in line}
    names = {module.split(".")[0] for module in modules}
    return (names | extra) - brought - {"jaxrnn"} - sys.stdlib_module_names


PAGES = [
    "cells", "fine_tuning", "generation", "gpu", "interop", "own_cell", "own_sequences", "own_text",
    "recurrence", "save_params",
]  # fmt: skip


@pytest.mark.parametrize("name", [f"{page}.md" for page in PAGES])
def test_a_page_says_at_its_top_what_its_examples_need(name):
    top = (DOCS / name).read_text("utf-8").split("\n## ")[0]
    (command,) = re.findall(r"`pip install (.*?jaxrnn.*?)`", top)
    assert packages_of(name) <= set(re.findall(r"\w+", command))
    assert ("KERAS_BACKEND=jax" in top) == ("keras" in command)


PRECISE = {
    "scan": jaxrnn.recurrent(jaxrnn.lstm(H)),
    "autodiff": jaxrnn.recurrent(jaxrnn.gru(H), implementation="autodiff"),
    "step cell": jaxrnn.recurrent(jaxrnn.gru(H, reset_after=False)),
    "projected": jaxrnn.recurrent(jaxrnn.lstm(H), projection_size=2),
    "heads, rematerialised": jaxrnn.recurrent(jaxrnn.lstm(H), num_heads=2, remat_every=2),
    "deep": jaxrnn.stack([jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.rnn(H))), jaxrnn.linear(2)]),
}


@pytest.mark.parametrize("name", PRECISE)
def test_the_highest_precision_reaches_every_product(name):
    """As the page says; lowered for devices that are not here, to the text that XLA is given."""
    layer = PRECISE[name]
    params, inputs = layer.init(jax.random.key(0), D), jnp.ones((T, B, D))

    def loss(params):
        outputs, _ = layer.apply(params, inputs, layer.initial_carry(params, B))
        return jnp.square(outputs).sum()

    def products(function):
        """For each of the devices."""
        traced = jax.jit(function).trace(params)
        texts = [traced.lower(lowering_platforms=(p,)).as_text() for p in ("tpu", "cuda")]
        return [[line for line in text.splitlines() if "dot_general" in line] for text in texts]

    by_default = products(jax.value_and_grad(loss))
    assert not any("HIGHEST" in line for lines in by_default for line in lines)
    with jax.default_matmul_precision("highest"):
        backward = products(jax.value_and_grad(loss))
        forward = products(lambda params: jax.jvp(loss, (params,), (params,)))
    for lines in (*backward, *forward):
        assert lines
        assert all("precision = [HIGHEST, HIGHEST]" in line for line in lines)
