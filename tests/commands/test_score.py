"""`jaxrnn score --held-out`: under the network, under counts, and under both."""

import dataclasses
import re
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from test_docs import DOCS, run_page

import jaxrnn
from jaxrnn.commands.held_out import Methods, judge, texts_of
from jaxrnn.commands.score import held_out_lines, line_break, num_predicted
from jaxrnn.runs import Checkpoints
from jaxrnn.runs.run import Run
from jaxrnn.runs.saver import Saver
from jaxrnn.runs.settings import Settings
from jaxrnn.runs.texts import prepare_texts
from jaxrnn.training import Progress


def play(num_chars):
    """Sentences of a small grammar."""
    generator, text = np.random.default_rng(0), ""
    parts = (
        ["The king", "The queen", "A fool", "My lord", "The old duke"],
        ["loves", "fears", "betrays", "calls", "forgives"],
        ["the king", "the queen", "a fool", "no one", "his brother"],
        [".", " tonight.", " in the garden.", ", they say."],
    )
    while len(text) < num_chars:
        who, does, whom, end = (part[generator.integers(len(part))] for part in parts)
        text += f"{who} {does} {whom}{end}\n"
    return text[:num_chars]


def test_the_commands_and_the_python_of_the_page_on_regularization_run(
    run, tmp_path, monkeypatch, as_users_run
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "play.txt").write_text(play(4300), encoding="utf-8")
    page = (DOCS / "regularization.md").read_text("utf-8")
    (commands,) = re.findall(r"```sh\n(.*?)```", page, re.S)
    said = []
    for command in commands.replace("\\\n", " ").splitlines():
        code, output, complained = run(*re.sub('"(.*?) "', r"\1", command).split()[1:])
        assert code == 0, complained
        said.append(output)
    trained, judged, generated = said
    assert "for validation, 400 held out" in trained
    assert generated.startswith("The")
    numbers = dict(re.findall(r"^(.+): ([\d.]+) nats", judged, re.M))
    names = run_page("regularization.md")
    # Printed with four digits, of the same functions.
    by_network = -names["static"].token_log_probabilities.mean()
    assert float(numbers["network"]) == pytest.approx(float(by_network), abs=1e-4)
    counted = -names["counts_on"]["held out"].mean()
    assert float(numbers["Kneser-Ney, n = 4"]) == pytest.approx(counted, abs=1e-4)
    mixed = numbers[f"{names['weight']:.3f} network + Kneser-Ney, n = 4"]
    assert float(mixed) == pytest.approx(np.log(names["both"]), abs=1e-4)
    assert float(mixed) < min(by_network, counted)
    assert names["dynamic"].perplexity < names["static"].perplexity
    texts = texts_of(record_of("runs/play"))
    np.testing.assert_array_equal(texts.held_out.ids, names["held_out"])
    np.testing.assert_array_equal(texts.validation.ids, names["validation"])


def record_of(run_dir):
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        return checkpoints.newest(lambda saved: saved.text_record())


@pytest.fixture(scope="module")
def untrained():
    texts = prepare_texts(play(1300), 1000, 150, validation_tokens=100)
    model = jaxrnn.language_model(len(texts.vocabulary), jaxrnn.recurrent(jaxrnn.gru(4)))
    return model, model.init(jax.random.key(0), len(texts.vocabulary)), texts


def test_the_text_between_lines_is_one_that_the_run_has_read():
    words = jaxrnn.Vocabulary.of("the time machine", unit="word")
    marked = jaxrnn.Vocabulary.of("the time <eos> machine", unit="word")
    assert [num_predicted(each, "the time") for each in (words, marked)] == [1, 2]
    spaces, lines, neither = (
        jaxrnn.Vocabulary.of(text, unit="byte") for text in ("a b", "a\nb", "ab")
    )
    assert [line_break(each) for each in (words, marked, spaces, lines, neither)] == [
        *(" ", "<eos> ", " ", "\n", "")
    ]
    letters = jaxrnn.Vocabulary.of("acgt")
    assert (line_break(letters), num_predicted(letters, "gatt")) == ("", 3)


def test_a_word_that_nothing_predicts_is_not_ranked(tmp_path, run, as_users_run):
    out, text = tmp_path / "run", tmp_path / "text.txt"
    text.write_text("the time machine by the time traveller " * 40)
    training = jaxrnn.TrainConfig(batch_size=4, num_steps=8)
    settings = Settings(training=training, corpus=str(text), unit="word", prompts=("the",), out=out)
    with Saver(Run(settings)) as saver:
        saver.start()
    code, said, _ = run("score", out, "the time", "by the time")
    assert code == 0
    assert said.count("perplexity") == 2
    code, _, error = run("score", out, "the time", "machine")
    assert code == 2
    assert "texts must hold two words at least, got 'machine'" in error
    code, _, error = run("score", out, " ", "the time")
    assert code == 2
    assert "texts must hold two words at least, got ' '" in error


def test_rates_and_weights_are_those_best_on_the_validation_text(untrained, monkeypatch):
    """On the held-out text others may be better, which must not matter."""
    model, params, texts = untrained
    swapped = texts._replace(validation=texts.held_out, held_out=texts.validation)
    methods = Methods(dynamic=True, dynamic_rates=(1e-3, 1e-2), kneser_ney=3)
    for case in (texts, swapped):
        alone, on_validation = {}, case._replace(held_out=case.validation)
        for rate in methods.dynamic_rates:
            chosen = Methods(dynamic=True, dynamic_rates=(rate,))
            *_, dynamic = judge(model, params, on_validation, chosen)
            alone[rate] = dynamic.nats
        best = min(alone, key=lambda rate: alone[rate])
        found = {judged.method: judged.nats for judged in judge(model, params, case, methods)}
        assert f"dynamic evaluation, learning rate {best:g}" in found
        (name,) = (name for name in found if name.endswith("network + Kneser-Ney, n = 3"))
        nats, fitted = [], float(name.split()[0])
        for weight in np.clip([fitted - 1 / 40, fitted, fitted + 1 / 40], 0, 1):
            fixed = Methods(kneser_ney=3, network_weight=float(weight))
            *_, mixed = judge(model, params, on_validation, fixed)
            nats.append(mixed.nats)
        assert nats[1] == min(nats)  # convex in the weight, so the best one is no further away


@pytest.mark.parametrize(
    ("methods", "part", "message"),
    [
        (Methods(kneser_ney=3), "validation", "give a single --dynamic-rates and --network-weight"),
        (Methods(dynamic=True), "validation", "or train with --validation-chars"),
        (Methods(), "held_out", "must hold at least two known tokens, got 0"),
    ],
)
def test_what_needs_a_text_says_so(methods, part, message, untrained):
    model, params, texts = untrained
    nothing = prepare_texts("ab" * 50, 100, 0)
    empty = texts._replace(**{part: getattr(nothing, part)})
    with pytest.raises(ValueError, match=message):
        list(judge(model, params, empty, methods))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dynamic_rates": ()}, "dynamic_rates must hold at least one"),
        ({"dynamic_rates": (-1.0,)}, "dynamic_rates must be"),
        ({"dynamic_decay": 1.5}, "dynamic_decay must be"),
        ({"dynamic_steps": 0}, "dynamic_steps must be"),
        ({"kneser_ney": 0}, "kneser_ney must be"),
        ({"kneser_ney": 3, "network_weight": -0.1}, "network_weight must be"),
        ({"network_weight": 0.5}, "network_weight needs kneser_ney"),
    ],
)
def test_a_method_that_makes_no_sense_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        Methods(**change)


def test_a_run_whose_held_out_text_is_elsewhere_is_refused(tmp_path, run):
    """Such as those of experiments.ptb: parts of the training text would be taken for it."""
    corpus, out = tmp_path / "a.txt", tmp_path / "run"
    corpus.write_text("abcd efgh\nhgfe dcba\n" * 60)
    training = jaxrnn.TrainConfig(batch_size=4, num_steps=20)
    settings = Settings(training=training, corpus=str(corpus), out=out)
    record = Run(settings).record(Progress())
    texts_of(record)
    for change in ({"separate": True}, {"max_chars": 1200}):
        wrong = dataclasses.replace(record, text=dataclasses.replace(record.text, **change))
        with pytest.raises(ValueError, match="is another file, not the rest of this one"):
            texts_of(wrong)
    code, _, complained = run("score", out, "ab", "--kneser-ney", 3)
    assert (code, complained.strip()) == (2, "error: --kneser-ney and --dynamic need --held-out")
    code, _, complained = run("score", out, "ab", "--held-out")
    assert code == 2
    assert "give texts to rank, or --held-out, or --shuffle-test" in complained


def test_a_held_out_text_that_is_another_file_has_no_lines_here():
    record = SimpleNamespace(text=SimpleNamespace(separate=True, corpus="ptb_train"))
    with pytest.raises(ValueError, match="of a run on ptb_train is another file"):
        held_out_lines(record, jaxrnn.Vocabulary.of("ab"))
