"""Nothing that a run, a corpus or a download holds is ever executed, or written elsewhere."""

import ast
import json
import pickle
import re
import shutil
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from faults.test_corruption import apart, save_steps

from jaxrnn.runs import CheckpointError, Checkpoints, DamagedCheckpointError
from jaxrnn.runs.digests import canonical_digest
from jaxrnn.text import load_corpus, sources

ROOT = Path(__file__).parent.parent.parent
MODULES = [path for room in ("jaxrnn", "experiments") for path in (ROOT / room).rglob("*.py")]
EXECUTES = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml",
    "eval", "exec", "compile", "__import__", "system", "popen", "extractall", "extract",
}  # fmt: skip


def names_called_or_imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr
            yield from ("pickle" for k in node.keywords if k.arg == "allow_pickle")


def test_no_module_unpickles_evaluates_or_extracts(survived):
    found = {
        path.name: names & EXECUTES
        for path in MODULES
        if (names := set(names_called_or_imported(ast.parse(path.read_text("utf-8"))))) & EXECUTES
    }
    # `.lower().compile()` of JAX and of regular expressions
    assert all(names == {"compile"} for names in found.values()), found
    assert len(MODULES) > 50
    survived("security", 1)


@pytest.mark.parametrize("name", sources.SOURCES)
def test_a_corpus_comes_by_https_with_digest_and_size(name, survived):
    source = sources.SOURCES[name]
    assert urlsplit(source.url).scheme == "https"
    assert re.fullmatch("[0-9a-f]{64}", source.digest)
    assert 0 < source.num_bytes < 1 << 23
    survived("security", 1)


class Payload:
    """Runs when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def pickle_in_place_of_each_file(run_dir):
    _, state = save_steps(run_dir, [0])
    mark, refused = run_dir / "executed", 0
    pickle.loads(pickle.dumps(Payload(mark)))
    mark.unlink()  # it works
    for path in sorted(p for p in (run_dir / "checkpoints" / "0").rglob("*") if p.is_file()):
        content = path.read_bytes()
        path.write_bytes(pickle.dumps(Payload(mark)))
        with Checkpoints(run_dir, read_only=True) as checkpoints:
            try:
                checkpoints.newest(lambda saved: saved.restore(state))
            except CheckpointError:
                refused += 1
        assert not mark.exists()
        path.write_bytes(content)
    return refused


def test_a_pickle_in_a_checkpoint_is_not_executed(tmp_path, survived):
    refused = apart(pickle_in_place_of_each_file, tmp_path)
    assert refused >= 3
    survived("security", refused)


def forge(meta, path):
    """Metadata that someone changed, with a digest to match."""
    del meta["digest"]
    content = meta
    for name in path[:-2]:
        content = content[name]
    content[path[-2]] = path[-1]
    meta["digest"] = canonical_digest(meta)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a run with step 0."""
    folder = tmp_path_factory.mktemp("saved")
    save_steps(folder, [0])
    return folder


@pytest.mark.parametrize(
    "path",
    [
        ("record", "model", "cell", "os.system"),
        ("record", "model", "hidden_size", -1),
        ("record", "model", "hidden_size", "5"),
        ("record", "training", "optimizer", "apply_updates"),
        ("record", "training", {"learning_rate": 1, "surprise": 2}),
        ("record", "vocabulary", '{"tokens": "os"}'),
        ("record", "progress", {"epoch": 1, "surprise": 2}),
        ("record", "text", None),
        ("record", []),
    ],
    ids=str,
)
def test_forged_metadata_is_refused(path, saved, tmp_path, survived, as_users_run):
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    file = run / "checkpoints/0/meta/metadata"
    meta = json.loads(file.read_text())
    forge(meta, path)
    file.write_text(json.dumps(meta))
    with (
        Checkpoints(run, read_only=True) as checkpoints,
        pytest.raises(DamagedCheckpointError, match="metadata of step 0"),
    ):
        checkpoints.open(0)
    survived("security", 1)


def test_a_zip_file_writes_nothing_outside(tmp_path, survived):
    path = tmp_path / "in" / "a.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../outside.txt", "some text")
    assert load_corpus(str(path)).text == "some text"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "in"]
    survived("security", 1)
