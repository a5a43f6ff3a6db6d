"""What a run keeps, how it goes on, and how it refuses to go on as another run."""

import json
import re
import shutil

import pytest
from command_fixtures import copied, train_in
from subprocesses import epochs

import jaxrnn
from jaxrnn.runs import Checkpoints, CheckpointWarning
from jaxrnn.runs.metrics import read_metrics
from jaxrnn.runs.run import Run
from jaxrnn.runs.saver import Saver
from jaxrnn.runs.settings import Settings


def content_of(folder):
    """Every file below a folder, but the lock, which says who came last."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "jaxrnn.json")
    return {path: path.read_bytes() for path in files}


@pytest.fixture(autouse=True)
def as_a_user(as_users_run, monkeypatch):
    """Errors of the library itself; no curves, at which no test here looks."""
    monkeypatch.setattr("jaxrnn.runs.report.plot_perplexity", lambda *_: None)


BETTER = ("--sample-every", 1, "--save-every", 0, "--learning-rate", 1, "--epochs", 4)


@pytest.fixture(scope="module")
def four_epochs(tmp_path_factory):
    """The parent folder of a run that did better after every epoch; no test may change it."""
    folder = tmp_path_factory.mktemp("four_epochs")
    train_in(folder, *BETTER)
    return folder


@pytest.fixture
def better(four_epochs, tmp_path):
    """(folder, its settings) of a copy of that run."""
    out, settings = copied(four_epochs, tmp_path)
    return out, [*settings, *BETTER]


def test_another_setting_is_refused_or_accepted(trained_small, run):
    out, settings = trained_small
    code, _, error = run("train", *settings, "--resume", "--epochs", 2, "--batch-size", 8)
    assert code == 2
    assert "different run: training.batch_size: 4 in the checkpoint, 8 here; --resume" in error
    # Another batch is another shape of the carry: that cannot be accepted.
    code, _, error = run(
        "train", *settings, "--resume", "--accept-changes", "--epochs", 2, "--batch-size", 8
    )
    assert code == 2
    assert "another model, batch size or optimizer: carry" in error
    rate = ("--learning-rate", 1, "--resume", "--epochs", 2)
    assert run("train", *settings, *rate)[0] == 2
    code, said, _ = run("train", *settings, *rate, "--accept-changes")
    assert code == 0
    assert "training.learning_rate: 100.0 in the checkpoint, 1.0 here" in said
    assert epochs(out) == [1, 2]


def test_an_epoch_that_is_finished_stays_finished_if_later_ones_have_other_batches(better, run):
    out, settings = better
    before = read_metrics(out)
    flags = ("--num-steps", 4, "--epochs", 6, "--resume", "--accept-changes")
    assert run("train", *settings, *flags)[0] == 0
    assert read_metrics(out)[:4] == before
    assert epochs(out) == [1, 2, 3, 4, 5, 6]


def test_the_unit_of_a_run_is_that_of_its_vocabulary(trained_small, run):
    _, settings = trained_small
    for flags in (("--resume",), ("--resume", "--accept-changes")):
        code, _, error = run("train", *settings, "--unit", "word", *flags)
        assert code == 2
        assert "unit must be character, as in" in error


def test_another_text_is_refused_or_accepted(trained_small, run, monkeypatch):
    out, settings = trained_small
    with monkeypatch.context() as patch:
        patch.setattr("jaxrnn.runs.settings.read_corpus", lambda *_: pytest.fail("it is read"))
        code, _, error = run("train", "--resume", "--out", out)
    assert code == 2
    assert "--corpus is jaychou, but the run" in error
    assert error.endswith("--resume belongs to the whole command that began the run\n")
    corpus = settings[settings.index("--corpus", 2) + 1]
    corpus.write_text("hgfe dcba\nabcd efgh\n" * 60)
    code, _, error = run("train", *settings, "--resume", "--epochs", 2)
    assert code == 2
    assert re.search("holds a different run: .*text.digest: ", error)
    code, said, _ = run("train", *settings, "--resume", "--epochs", 2, "--accept-changes")
    assert code == 0
    assert "although" in said
    corpus.write_text("xyz uvw\n" * 120)
    code, _, error = run("train", *settings, "--prompts", "xy", "--resume", "--accept-changes")
    assert code == 2
    assert "cannot continue with" in error
    assert "not in the vocabulary of 10: 'x' 'y' 'z' 'u' 'v' 'w'" in error


def test_a_run_that_goes_on_with_another_text_keeps_the_meaning_of_its_ids(trained_small, run):
    """Ids are ordered by frequency, which is another one here; the weights' rows are not."""
    out, settings = trained_small
    before = jaxrnn.load_run(out).vocabulary
    corpus = settings[settings.index("--corpus", 2) + 1]
    corpus.write_text("h g f e d c b a\n" * 60 + "a\n" * 300)
    flags = ("--resume", "--accept-changes", "--epochs", 2)
    assert run("train", *settings, *flags)[0] == 0
    assert jaxrnn.load_run(out).vocabulary == before
    assert jaxrnn.Vocabulary.of(corpus.read_text()[:700]).tokens != before.tokens
    # And where the text is tokenized already, and cannot be read by another vocabulary.
    tokens = corpus.with_name("tokens")
    assert run("tokenize", "--text", corpus, "--out", tokens)[0] == 0
    code, _, error = run("train", *settings, "--corpus", tokens, *flags)
    assert code == 2
    assert "has different tokens than the run in" in error


def test_the_same_text_elsewhere_and_what_reports_may_change(trained_small, run):
    out, settings = trained_small
    corpus = settings[settings.index("--corpus", 2) + 1]
    moved = shutil.move(corpus, corpus.with_name("b.txt"))
    changes = ("--corpus", moved, "--epochs", 3, "--sample-every", 1, "--prompts", "gh")
    assert run("train", *settings, *changes, "--resume")[0] == 0
    assert epochs(out) == [1, 2, 3]


def test_another_device_is_refused_with_the_difference(trained_small, run, monkeypatch):
    _, settings = trained_small
    monkeypatch.setattr("jaxrnn.runs.saver.environment", lambda *_: {"device": "8 x TPU"})
    code, _, error = run("train", *settings, "--resume", "--epochs", 2)
    assert code == 2
    assert "device: 1 x cpu (cpu) in the checkpoint, 8 x TPU here" in error


def test_other_versions_are_said_and_not_refused(trained_small, run, monkeypatch):
    _, settings = trained_small
    monkeypatch.setattr(
        "jaxrnn.runs.saver.environment", lambda *_: {"jax": "9.9", "device": "1 x cpu (cpu)"}
    )
    code, said, _ = run("train", *settings, "--resume", "--epochs", 2)
    assert code == 0
    assert "bits may differ" in said
    assert "9.9 here" in said


def test_the_best_parameters_are_kept_and_come_back(small, run):
    """A model that learns by heart does ever worse on the validation text."""
    out, settings = small
    settings = [*settings, "--sample-every", 1, "--save-every", 0, "--learning-rate", 1000]
    assert run("train", *settings, "--epochs", 3)[0] == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    best = min(rows, key=lambda row: row["validation_perplexity"])
    with Checkpoints(out, "best", read_only=True) as checkpoints:
        assert checkpoints.steps()[0] == best["step"]
        record = checkpoints.open(best["step"]).record
        assert record.best.validation_perplexity == best["validation_perplexity"]
    assert run("train", *settings, "--epochs", 4, "--resume")[0] == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    best = min(rows, key=lambda row: row["validation_perplexity"])
    with Checkpoints(out, "best", read_only=True) as checkpoints:
        assert checkpoints.steps()[0] == best["step"]
    assert run("generate", out, "--prompt", "ab", "--use", "best")[0] == 0
    shutil.rmtree(out / "best")
    code, _, error = run("generate", out, "--prompt", "ab", "--use", "best")
    assert code == 2
    assert "holds no best" in error


def test_verify_names_what_is_damaged(trained_small, run):
    out, settings = trained_small
    code, said, _ = run("verify", out)
    assert code == 0
    assert said.count("intact; after batch") == 1
    assert said.count("intact; before the first step") == 1
    assert "best/" in said
    newest = max((out / "checkpoints").iterdir(), key=lambda path: int(path.name))
    meta = newest / "meta" / "metadata"
    meta.write_bytes(meta.read_bytes().replace(b"epoch", b"epocH", 1))
    code, said, _ = run("verify", out)
    assert code == 1
    assert f"step {newest.name} in" in said
    assert "damaged" in said
    with pytest.warns(CheckpointWarning, match=f"step {newest.name} .*: continuing from step 0"):
        assert run("train", *settings, "--epochs", 2, "--resume")[0] == 0
    assert (out / "damaged" / newest.name).is_dir()
    assert epochs(out) == [1, 2]
    assert run("verify", out)[0] == 0
    code, _, error = run("verify", out.parent / "nowhere")
    assert code == 2
    assert "holds no checkpoints" in error


def test_a_fall_back_keeps_the_best_of_then(better, run):
    """The older checkpoint names an older best, which must still be there."""
    out, settings = better
    steps = sorted(int(path.name) for path in (out / "checkpoints").iterdir())
    with Checkpoints(out, read_only=True) as checkpoints:
        then = checkpoints.open(steps[-2]).record.best
    (out / "checkpoints" / str(steps[-1]) / "meta" / "metadata").write_text("{}")
    with pytest.warns(CheckpointWarning, match="continuing from step"):
        assert run("train", *settings, "--resume")[0] == 0
    assert then.step < steps[-1]
    with Checkpoints(out, "best", read_only=True) as checkpoints:
        assert then.step in checkpoints.steps()


@pytest.mark.parametrize("flags", [[], ["--resume"]])
def test_what_is_left_of_a_run_without_checkpoints_is_not_touched(better, run, flags):
    out, settings = better
    shutil.rmtree(out / "checkpoints")
    before = content_of(out)
    code, _, error = run("train", *settings, *flags)
    assert code == 2
    assert re.search(r"holds best/\d+, .*metrics.jsonl of a run whose checkpoints are gone", error)
    assert content_of(out) == before


def test_an_older_best_takes_the_place_of_one_that_is_gone(better, run):
    """Also where the run is finished already; nothing else of what did best is lost."""
    out, settings = better
    best = sorted((int(path.name) for path in (out / "best").iterdir()), reverse=True)
    assert len(best) > 1
    shutil.rmtree(out / "best" / str(best[0]))
    instead = f"step {best[0]}, are gone: those of step {best[1]} take their place"
    with pytest.warns(UserWarning, match=instead):
        assert run("train", *settings, "--resume")[0] == 0
    assert sorted((int(path.name) for path in (out / "best").iterdir()), reverse=True) == best[1:]


def test_a_run_that_has_not_made_a_step_may_begin_anew(small, run):
    out, settings = small
    with Saver(Run(Settings(corpus="songs", max_chars=2000, out=out))) as saver:
        saver.start()
    assert run("train", *settings, "--seed", 5, "--epochs", 2)[0] == 0
    assert epochs(out) == [1, 2]


@pytest.mark.parametrize("name", ["x\\y", "[a]", "a*", "what?", "\udcff"])
def test_a_folder_that_the_storage_library_would_misread_is_refused(
    small, run, name, tmp_path, survived
):
    """Before anything is trained; tensorstore would write to x/y, and all saves be unreadable."""
    _, settings = small
    code, said, error = run("train", *settings, "--out", tmp_path / "runs" / name)
    assert code == 2
    assert "in its path and be UTF-8" in error
    assert "epoch" not in said
    assert not (tmp_path / "runs").exists()
    survived("bad input", 1)


def test_a_run_that_diverges_goes_on_saving(small, run):
    """Its held-out perplexity is infinite, which is no best and not JSON."""
    out, settings = small
    wild = ("--learning-rate", 1e5, "--max-grad-norm", "None", "--sample-every", 1)
    assert run("train", *settings, *wild, "--epochs", 3)[0] == 0
    assert epochs(out) == [1, 2, 3]


def test_another_validation_text_begins_a_new_best(trained_small, run):
    """Another held-out text does not: it chooses nothing."""
    out, settings = trained_small
    changes = ("--held-out-chars", 200), ("--held-out-chars", 200, "--validation-chars", 90)
    for epoch, changed in enumerate(changes, 2):
        code, said, _ = run("train", *settings, "--epochs", epoch, *changed, "--resume")
        assert code == 0
        assert ("the validation text has changed" in said) == ("--validation-chars" in changed)
    with Checkpoints(out, "best", read_only=True) as checkpoints:
        assert checkpoints.open(checkpoints.steps()[0]).record.best.epoch == 3


def test_verify_passes_over_a_step_that_a_training_has_deleted_meanwhile(
    trained_small, run, monkeypatch
):
    out, _ = trained_small
    steps, deleted = Checkpoints.steps, []

    def deletes_the_oldest(checkpoints):
        found = steps(checkpoints)
        if checkpoints.kind == "checkpoints" and not deleted:
            deleted.append(found[-1])
            shutil.rmtree(out / "checkpoints" / str(found[-1]))
        return found

    monkeypatch.setattr(Checkpoints, "steps", deletes_the_oldest)
    code, said, _ = run("verify", out)
    assert code == 0
    assert f"checkpoints/{deleted[0]}:" not in said
