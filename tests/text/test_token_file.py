"""A text as ids in a file: the same ids, whatever the pieces; never a wrong one in silence."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxrnn
from jaxrnn.text import pieces
from jaxrnn.text.pieces import pieces_of
from jaxrnn.text.token_file import (
    TokenFileError,
    open_token_file,
    write_token_file,
)

TEXT = "猪 吃 我\nthe  time\r\n\r\nmachine 😀 the end\n" * 7


def write(tmp_path, text, unit="character", name="tokens", keep_line_breaks=True):
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8", newline="")
    keep = {"keep_line_breaks": keep_line_breaks}
    return write_token_file(lambda: pieces_of([path], unit, **keep), tmp_path / name, unit, **keep)


@pytest.mark.parametrize("unit", ["character", "word"])
@pytest.mark.parametrize("characters", [1, 2, 3, 7, 1 << 22])
@pytest.mark.parametrize("keep", [True, False], ids=["lines", "one line"])
def test_ids_and_vocabulary_are_those_of_the_whole_text(
    tmp_path, unit, characters, keep, monkeypatch
):
    monkeypatch.setattr(pieces, "BYTES_PER_PIECE", characters)
    write(tmp_path, TEXT, unit, keep_line_breaks=keep)
    tokens = open_token_file(tmp_path / "tokens")
    plain = TEXT.replace("\r\n", "\n")
    plain = plain if keep else plain.replace("\n", " ")
    assert tokens.keep_line_breaks == keep
    vocabulary = jaxrnn.Vocabulary.of(plain, unit=unit)
    assert tokens.vocabulary == vocabulary
    np.testing.assert_array_equal(tokens.ids(), vocabulary.encode(plain))
    np.testing.assert_array_equal(tokens.ids(5), vocabulary.encode(plain)[:5])
    assert isinstance(tokens.ids(), np.memmap)
    assert tokens.num_ids == len(tokens.ids())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text.txt", "tokens"]


@settings(max_examples=20)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), st.integers(1, 9))
def test_any_text_in_any_pieces(tmp_path_factory, text, characters):
    tmp_path = tmp_path_factory.mktemp("any")
    before, pieces.BYTES_PER_PIECE = pieces.BYTES_PER_PIECE, characters
    try:
        (tmp_path / "text.txt").write_text(text, encoding="utf-8", newline="")
        plain = "".join(pieces_of([tmp_path / "text.txt"]))
        if plain:
            assert write(tmp_path, text).vocabulary == jaxrnn.Vocabulary.of(plain)
            np.testing.assert_array_equal(
                open_token_file(tmp_path / "tokens").ids(),
                jaxrnn.Vocabulary.of(plain).encode(plain),
            )
    finally:
        pieces.BYTES_PER_PIECE = before


def test_many_words_take_four_bytes_each(tmp_path):
    words = [f"w{number}" for number in range((1 << 16) + 1)]
    random.Random(0).shuffle(words)
    tokens = write(tmp_path, " ".join(words), "word")
    assert tokens.ids().dtype == np.uint32
    assert [tokens.vocabulary.tokens[i] for i in tokens.ids()[:50]] == words[:50]
    assert write(tmp_path, "a b", "word", "few").ids().dtype == np.uint16


def test_a_folder_that_is_there_is_not_overwritten(tmp_path, survived):
    write(tmp_path, "abc")
    with pytest.raises(FileExistsError, match="tokens already exists"):
        write(tmp_path, "abc")
    survived("bad input", 1)


def test_an_empty_text_is_named_and_leaves_nothing(tmp_path, survived):
    with pytest.raises(ValueError, match="at least one word"):
        write(tmp_path, " \n ", "word")
    assert not (tmp_path / "tokens").exists()
    survived("bad input", 1)


def spoil_json(folder, **changes):
    path = folder / "text.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


DAMAGES = {
    "no folder": lambda folder: folder.rename(folder.with_name("elsewhere")),
    "no text.json": lambda folder: (folder / "text.json").unlink(),
    "half of text.json": lambda folder: (folder / "text.json").write_text('{"format": 1, "num'),
    "no ids": lambda folder: (folder / "ids.npy").unlink(),
    "ids cut off": lambda folder: (folder / "ids.npy").write_bytes(
        (folder / "ids.npy").read_bytes()[:-2]
    ),
    "ids of another length": lambda folder: np.save(folder / "ids.npy", np.zeros(3, np.uint16)),
    "ids of another type": lambda folder: np.save(folder / "ids.npy", np.zeros(238, np.float32)),
    "pickled ids": lambda folder: np.save(folder / "ids.npy", np.array([print], dtype=object)),
    "another format": lambda folder: spoil_json(folder, format=3),
    "a format that would need no sum": lambda folder: spoil_json(folder, format=1, num_ids=0),
    "no object": lambda folder: (folder / "text.json").write_text("[]"),
    "an abyss of brackets": lambda folder: (folder / "text.json").write_text("[" * 100_000),
    "ids that are a pipe": lambda folder: make_pipe(folder / "ids.npy"),
    "a text.json that is a pipe": lambda folder: make_pipe(folder / "text.json"),
    "another count": lambda folder: spoil_json(folder, num_ids=-1),
    "a vocabulary that is none": lambda folder: spoil_json(folder, vocabulary="[]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_a_typed_error(tmp_path, damage, survived):
    write(tmp_path, TEXT)
    DAMAGES[damage](tmp_path / "tokens")
    with pytest.raises(TokenFileError, match="tokens holds no usable tokens"):
        open_token_file(tmp_path / "tokens")
    survived("bad input", 1)


def test_no_flipped_bit_gives_other_ids_or_another_vocabulary(tmp_path, how_many, survived):
    whole = write(tmp_path, TEXT)
    files = {path: path.read_bytes() for path in whole.folder.iterdir()}
    ids = whole.ids().tolist()
    generator = random.Random(0)
    refused, count = 0, how_many(200, 2000)
    for _ in range(count):
        path = generator.choice(sorted(files))
        content = bytearray(files[path])
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
        try:
            tokens = open_token_file(whole.folder)
        except TokenFileError:
            refused += 1
        else:
            assert (tokens.ids().tolist(), tokens) == (ids, whole)
        path.write_bytes(files[path])
    assert refused > count / 2  # the others are in the white space of two headers
    survived("corruption: token files", count)


def test_folders_of_the_first_format_are_read(tmp_path):
    """They have no sum of their own, and line breaks as spaces."""
    write(tmp_path, TEXT, keep_line_breaks=False)
    path = tmp_path / "tokens" / "text.json"
    content = json.loads(path.read_text())
    del content["sum"], content["keep_line_breaks"]
    path.write_text(json.dumps(content | {"format": 1}))
    tokens = open_token_file(tmp_path / "tokens")
    assert not tokens.keep_line_breaks
    assert tokens.vocabulary.decode(tokens.ids()) == TEXT.replace("\r", "").replace("\n", " ")


def test_a_text_without_white_space_is_not_held_as_one_word(tmp_path, monkeypatch, survived):
    monkeypatch.setattr(pieces, "BYTES_PER_PIECE", 100)
    monkeypatch.setattr(pieces, "MAX_WORD", 1000)
    path = tmp_path / "my.txt"
    path.write_text("a" * 999 + " b")
    assert "".join(pieces_of([path], "word")) == path.read_text()
    path.write_text("a" * 100_000)
    with pytest.raises(ValueError, match=r"my\.txt must have words of at most 1,000 char.*'aaaa"):
        list(pieces_of([path], "word"))
    survived("bad input", 1)


@pytest.mark.parametrize("unit", ["character", "word"])
def test_what_is_no_regular_file_is_not_waited_for(tmp_path, unit, survived):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(ValueError, match=f"{path} must be a regular file"):
            list(pieces_of([path], unit))
    survived("bad input", 1)


@pytest.mark.parametrize("unit", ["character", "word"])
@pytest.mark.parametrize("second", ["a c", "a b a", "a"])
def test_a_text_that_changes_while_it_is_read_is_refused(tmp_path, unit, second):
    readings = iter(["a b", second])
    with pytest.raises(ValueError, match=r"while it was read|not in the vocabulary"):
        write_token_file(lambda: [next(readings)], tmp_path / "tokens", unit)
    assert not (tmp_path / "tokens").exists()


def test_bytes_that_are_no_text_are_named_with_their_file(tmp_path, survived):
    (tmp_path / "my.txt").write_bytes("的".encode() * 100 + b"\xff")
    with pytest.raises(
        ValueError, match=r"my\.txt must be text in utf-8, .* 0xff at position 300 is"
    ):
        list(pieces_of([tmp_path / "my.txt"]))
    survived("bad input", 1)


@pytest.mark.parametrize("unit", ["word", "character"])
def test_a_file_with_a_byte_order_mark_alone_is_empty(unit, tmp_path):
    names = ("empty.txt", "poem.txt")
    for name, text in zip(names, ("", "the time\n"), strict=True):
        (tmp_path / name).write_text("\ufeff" + text, encoding="utf-8")
    files = [tmp_path / name for name in names]
    assert "".join(pieces_of(files, unit)).strip("\n") == "the time"
