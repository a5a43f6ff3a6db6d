"""What the studio computes, against the functions of the library."""

import contextlib
import json
import struct
import threading
import time

import jax
import numpy as np
import pytest
from marks import in_matrix
from studio_run import TEXT, make_run, serve

import jaxrnn
from jaxrnn import probes
from jaxrnn.studio.model import Studio, ranks
from jaxrnn.studio.requests import LookInside, Read, Write
from jaxrnn.text import tokenize


@pytest.fixture(scope="module")
def loaded(run_dir):
    return jaxrnn.load_run(run_dir)


LONG = (TEXT * 2)[:1100]
PROMPTS = {"short": "He", "long": LONG}
AT_RANDOM = {"temperature": 0.8, "seed": 3}
OTHERWISE = (
    {"temperature": 0.0},
    {"temperature": 1.0, "top_k": 3, "top_p": 0.9},
    {"temperature": 0.9, "stop": ["a", "e s"]},
)


def test_the_model_describes_itself(served, loaded):
    status, _, content = served.ask("GET", "/api/model")
    found = json.loads(content)
    assert status == 200
    assert (found["run"], found["step"]) == ("run", 0)
    assert found["model"] == repr(loaded.model)
    assert found["vocabulary"] == len(loaded.vocabulary)
    assert [layer["name"] for layer in found["layers"]] == ["layer 1", "layer 2"]
    gates = ["gate input", "gate forget", "gate candidate", "gate output"]
    assert found["layers"][1]["arrays"] == ["hidden", "memory", *gates]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(("short", options) for options in (AT_RANDOM, *OTHERWISE)),
        ("long", AT_RANDOM),
        *in_matrix(*(("long", options) for options in OTHERWISE)),
    ],
)
def test_writing_is_generating(served, loaded, name, options):
    prompt = PROMPTS[name]
    first, *rows, last = served.lines("/api/write", {"prompt": prompt, "length": 40, **options})
    assert (first, last) == ({"read": len(prompt)}, {"end": True})
    sampling = jaxrnn.Sampling(
        options["temperature"], options.get("top_k"), options.get("top_p", 1.0)
    )
    (sample,) = jaxrnn.generate_samples(
        *loaded, [prompt], 40, sampling=sampling, key=jax.random.key(options.get("seed", 0)),
        stop=options.get("stop", ()),
    )  # fmt: skip
    written = "".join(row["token"] for row in rows)
    assert written[: len(written) - rows[-1]["stop"]] == sample.continuation
    assert sum(row["nats"] for row in rows) == pytest.approx(sample.log_probability, abs=1e-2)
    for row in rows:
        likely = dict(row["likely"])
        assert list(likely.values()) == sorted(likely.values(), reverse=True)
        if row["token"] in likely:
            assert likely[row["token"]] == pytest.approx(np.exp(row["nats"]), abs=1e-3)


def test_a_part_of_a_text_can_be_continued(served):
    whole = served.lines("/api/write", {"prompt": "He said", "length": 5})
    part = {"prompt": "He said no (twice)", "num_read": 7, "length": 5}
    assert served.lines("/api/write", part) == whole


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 512, 513, 1100])
def test_reading_is_scoring(served, loaded, length):
    text = LONG[:length]
    first, *more, last = served.lines("/api/read", {"text": text})
    rows = [row for line in more for row in line["rows"]]
    assert (first, last) == ({"tokens": length}, {"end": True})
    assert "".join(row["token"] for row in rows) == text
    assert "nats" not in rows[0]
    if length > 1:
        ids = loaded.vocabulary.encode(text)
        expected = jaxrnn.score(loaded.model, loaded.params, ids).token_log_probabilities
        np.testing.assert_allclose([row["nats"] for row in rows[1:]], expected, atol=2e-4)


def test_unknown_tokens_are_read_and_not_judged(served):
    _, *more, _ = served.lines("/api/read", {"text": "He 天 said"})
    rows = [row for line in more for row in line["rows"]]
    assert [row["token"] for row in rows if not row["known"]] == ["天"]
    assert [row["token"] for row in rows[1:] if "nats" not in row] == ["天"]


def frames(content):
    """The (JSON, values) of each frame."""
    while content:
        (size,) = struct.unpack("<I", content[:4])
        header = json.loads(content[4 : 4 + size])
        end = 4 + size + header["bytes"]
        yield header, np.frombuffer(content[4 + size : end], "<f4")
        content = content[end:]


@pytest.mark.parametrize(
    ("layer", "array"), [(0, "hidden"), (1, "memory"), (0, "gate forget"), (1, "gate candidate")]
)
@pytest.mark.parametrize("length", [5, 600])
def test_looking_inside_is_tracing(served, loaded, layer, array, length):
    text = LONG[:length]
    status, _, content = served.ask(
        "POST", "/api/inside", {"text": text, "layer": layer, "array": array}
    )
    assert status == 200
    (first, _), *middle, (last, _) = frames(content)
    assert "".join(first["tokens"]) == text
    values = np.concatenate([part for _, part in middle]).reshape(length, first["units"])
    ids = loaded.vocabulary.encode(text)[:, None]
    seen = probes.trace(loaded.model, loaded.params, ids).layers[layer]
    expected = (
        seen.gates[array.removeprefix("gate ")].value
        if array.startswith("gate")
        else getattr(seen.carries, array)
    )
    np.testing.assert_allclose(values, expected[:, 0], atol=1e-5)
    assert last == {"end": True, "bytes": 0}
    found = {header["feature"]: header["best"] for header, _ in middle if "feature" in header}
    best = dict(ranks(np.asarray(expected[:, 0], "<f4"), list(text)))
    assert set(found) == set(best)
    for name, units in best.items():
        np.testing.assert_allclose(found[name], units, atol=2e-3)


def test_ranks_name_the_units_that_follow_a_text():
    tokens = list(TEXT[:200])
    quotes = probes.text_features(tokens)["inside quotes"]
    random = np.random.default_rng(0)
    values = random.normal(size=(200, 8))
    values[:, 5] = -quotes
    found = dict(ranks(values, tokens))["inside quotes"]
    assert found[0] == (5, -1.0)
    assert len(found) == 5


@pytest.mark.parametrize("unit", ["word", "byte"])
def test_features_are_those_of_the_text_whatever_its_unit(unit, tmp_path):
    studio = Studio(jaxrnn.load_run(make_run(tmp_path / "b", unit)))
    text = "to be «à x»" if unit == "byte" else "to be or not"
    tokens = [*tokenize(text, unit)]
    features = probes.text_features(studio._spelt(tokens))
    if unit == "word":
        assert features["place in word"].tolist() == [2, 2, 2, 3]
    else:
        assert features["white space"].sum() == 3
        assert features["inside quotes"].sum() > 0


def test_the_metrics_of_the_run_are_served(served):
    _, _, content = served.ask("GET", "/api/training")
    assert [row["epoch"] for row in json.loads(content)["rows"]] == [1, 2, 3]


def test_the_newest_parameters_can_be_loaded(served):
    status, _, content = served.ask("POST", "/api/reload", {})
    assert status == 200
    assert json.loads(content)["run"] == "run"


BAD = {
    "no JSON": ("/api/read", "{", "Expecting property name"),
    "no object": ("/api/read", [1], "a request must be a JSON object"),
    "nothing": ("/api/read", {}, "a request must hold 'text'"),
    "an empty text": ("/api/read", {"text": ""}, "text must hold at least one character"),
    "a number": ("/api/read", {"text": 3}, "text must be a text, got 3"),
    "a long text": ("/api/read", {"text": "a" * 100_001}, "100,000 characters at most"),
    "half a pair": ("/api/read", {"text": "\ud83d"}, "text must be Unicode"),
    "another name": ("/api/read", {"text": "a", "b": 1}, "a request must not hold 'b'"),
    "deep JSON": ("/api/read", "[" * 100_000, ""),
    "an unknown prompt": ("/api/write", {"prompt": "天"}, "not in the vocabulary of"),
    "a true length": (
        "/api/write",
        {"prompt": "a", "length": True},
        "length must be an integer, got True",
    ),
    "too long": ("/api/write", {"prompt": "a", "length": 5001}, "length must be at most 5,000"),
    "no length": ("/api/write", {"prompt": "a", "length": 0}, "length must be at least 1"),
    "cold": ("/api/write", {"prompt": "a", "temperature": -1}, "temperature must be at least 0"),
    "a huge number": (
        "/api/write",
        '{"prompt": "a", "temperature": 1' + "0" * 400 + "}",
        "must be",
    ),
    "null": ("/api/write", {"prompt": "a", "seed": None}, "seed must be an integer, got None"),
    "no texts": ("/api/write", {"prompt": "a", "stop": [1]}, "stop must be a list of texts"),
    "no number": ("/api/write", '{"prompt": "a", "temperature": NaN}', "temperature must be"),
    "top_p": ("/api/write", {"prompt": "a", "top_p": 2}, "top_p must be between 0 and 1"),
    "top_k": ("/api/write", {"prompt": "a", "top_k": 999}, "top_k must be at most"),
    "a seed": ("/api/write", {"prompt": "a", "seed": -1}, "seed must be"),
    "a stop": ("/api/write", {"prompt": "a", "stop": [""]}, "stop must hold at least one"),
    "stops": ("/api/write", {"prompt": "a", "stop": ["a"] * 17}, "stop must hold 16 texts"),
    "no layer": ("/api/inside", {"text": "a", "layer": 2}, "layer must be one of 0, 1, got 2"),
    "no array": ("/api/inside", {"text": "a", "array": "x"}, "array must be one of 'hidden'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said_in_a_line(name, served):
    path, body, error = BAD[name]
    status, _, content = served.ask("POST", path, body)
    said = json.loads(content)["error"]
    assert status == 400
    assert error in said
    assert "\n" not in said
    assert served.ask("POST", "/api/read", {"text": "He"})[0] == 200  # it goes on


def wait_until_it_runs(served, thread):
    """Wait for the computation that a thread asks for."""
    while served.pages.computations.running is None:
        assert thread.is_alive()
        time.sleep(0.01)


def test_one_computation_at_a_time_which_can_be_cancelled(served):
    asked = {"prompt": "He", "length": 5000, "temperature": 1.0}
    answers = []
    thread = threading.Thread(target=lambda: answers.append(served.lines("/api/write", asked)))
    thread.start()
    wait_until_it_runs(served, thread)
    status, _, content = served.ask("POST", "/api/read", {"text": "He"})
    assert (status, json.loads(content)["error"][:26]) == (409, "another computation is run")
    status, _, content = served.ask("POST", "/api/cancel", {})
    assert json.loads(content) == {"cancelled": True}
    assert served.ask("POST", "/api/read", {"text": "He"})[0] == 200  # the place is free at once
    thread.join(60)
    assert len(answers[0]) < 5000
    assert {"end": True} not in answers[0]
    assert json.loads(served.ask("POST", "/api/cancel", {})[2]) == {"cancelled": False}


def test_the_place_is_free_when_the_answer_is_there(served):
    for _ in range(200):
        served.lines("/api/read", {"text": "H"})
        assert served.pages.computations.running is None


def test_who_goes_away_leaves_the_place_free(served):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    body = json.dumps({"prompt": "He", "length": 5000, "temperature": 1.0})
    connection.request("POST", "/api/write", body, served.headers("POST"))
    connection.getresponse().read(10)
    connection.close()
    deadline = time.monotonic() + 30
    while served.ask("POST", "/api/read", {"text": "He"})[0] == 409:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": "word"},
        {"unit": "byte"},
        {"model": {"cell": "gru", "num_layers": 1, "embedding_size": None}},
    ],
    ids=str,
)
def test_any_run_of_text_can_be_shown(changes, tmp_path):
    studio = Studio(jaxrnn.load_run(make_run(tmp_path / "b", **changes)))
    lines = map(json.loads, studio.read(Read("He said “no”")))
    rows = [row for line in lines for row in line.get("rows", ())]
    assert rows[0]["token"] in ("He", "H")
    assert studio.description["layers"][0]["arrays"][0] == "hidden"


def test_a_model_that_computes_nan_says_so(loaded):
    params = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), loaded.params)
    studio = Studio(loaded._replace(params=params))
    for pieces in (
        studio.write(Write("He", temperature=0.0)),
        studio.read(Read("He said")),
        studio.look_inside(LookInside("He said")),
    ):
        with pytest.raises(ValueError, match=r"NaN|JSON compliant"):
            list(pieces)


def test_an_error_on_the_way_is_sent(served, monkeypatch):
    def fail(self, request):
        yield b'{"read": 1}\n'
        raise ValueError("it broke\noff")

    monkeypatch.setattr(Studio, "write", fail)
    said = served.lines("/api/write", {"prompt": "He"})
    assert said == [{"read": 1}, {"error": "it broke off"}]
    monkeypatch.undo()
    assert served.ask("POST", "/api/read", {"text": "He"})[0] == 200


def test_a_text_with_too_many_values_is_refused(served, monkeypatch):
    monkeypatch.setattr("jaxrnn.studio.model.MAX_VALUES", 50)
    status, _, content = served.ask("POST", "/api/inside", {"text": "He said"})
    assert status == 400
    assert json.loads(content)["error"] == "text must hold 3 tokens at most to show 16 units"


def test_a_studio_ends_while_it_writes(run_dir):
    served, end = serve(run_dir)
    asked = {"prompt": "He", "length": 5000, "temperature": 1.0}

    answers = []

    def ask():
        with contextlib.suppress(Exception):
            answers.append(served.lines("/api/write", asked))

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until_it_runs(served, thread)
    end()
    thread.join(60)
    assert not thread.is_alive()
    assert all({"end": True} not in lines for lines in answers)
