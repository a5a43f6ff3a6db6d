"""Your own files: found by name, unpacked, in any encoding, or taken as bytes."""

import gzip
import hashlib
import random
import re
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxrnn
from jaxrnn.text import CorpusNotFoundError, Vocabulary, load_corpus
from jaxrnn.text.files import find_files
from jaxrnn.text.pieces import pieces_of
from jaxrnn.text.token_file import open_token_file, write_token_file
from jaxrnn.text.units import text_to_bytes, tokenize

POEM = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3 + b"\xe5\xba\x8a\xe5"


@pytest.fixture
def poems(tmp_path, monkeypatch):
    """A folder of files, which is also the home folder, and the working one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "poems" / "more").mkdir(parents=True)
    (tmp_path / "poems" / "b.txt").write_text("b\n")
    (tmp_path / "poems" / "a.TXT").write_text("a")
    (tmp_path / "poems" / "more" / "c.txt.gz").write_bytes(gzip.compress(b"c"))
    with zipfile.ZipFile(tmp_path / "poems" / "d.ZIP", "w") as archive:
        archive.writestr("D.TXT", "d")
    (tmp_path / "poems" / "notes.md").write_text("no poem")
    (tmp_path / "poems" / ".hidden.txt").write_text("no poem")
    return tmp_path / "poems"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("poems", "a\nb\nd\nc"),
        ("poems/*.txt", "b\n"),
        ("poems/*.[tT]*", "a\nb\n"),
        ("poems/*/*.txt*", "c"),
        ("~/poems/b.txt", "b\n"),
        ("~/poems", "a\nb\nd\nc"),
        (["poems/b.txt", "poems/a.TXT"], "b\na"),
        (["poems/a.TXT", "poems/a.TXT", "poems/more"], "a\na\nc"),
        ("poems/notes.md", "no poem"),
    ],
)
def test_a_text_is_one_file_or_several_each_on_a_new_line(poems, name, text):
    corpus = load_corpus(name)
    assert corpus.text == text
    names = [name] if isinstance(name, str) else name
    paths = [path for each in names for path in find_files(each)]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    whole = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    assert corpus.digest == (digests[0] if len(digests) == 1 else whole)
    assert corpus.name == ", ".join(names)
    assert corpus.source == (str(paths[0]) if len(paths) == 1 else f"{len(paths)} files")
    read = "".join(pieces_of(paths))
    assert read == text
    for max_chars in range(1, len(text) + 1):
        part = load_corpus(name, max_chars=max_chars)
        assert (part.text, part.digest) == (text[:max_chars], corpus.digest)


def test_a_path_is_a_name(poems):
    assert load_corpus(poems / "b.txt") == load_corpus(str(poems / "b.txt"))


def test_an_empty_file_adds_no_line(poems):
    (poems / "aa.txt").write_text("")
    paths = [poems / "a.TXT", poems / "aa.txt", poems / "b.txt"]
    assert "".join(pieces_of(paths)) == load_corpus(list(map(str, paths))).text == "a\nb\n"


def test_an_empty_name_is_no_folder(poems):
    for name in ("", ["poems/b.txt", ""]):
        with pytest.raises(CorpusNotFoundError):
            load_corpus(name)


@pytest.mark.parametrize("max_chars", [0, -1, 1.5])
def test_a_wrong_number_of_characters_is_named(poems, max_chars, as_users_run):
    with pytest.raises((TypeError, ValueError), match="max_chars must be"):
        load_corpus("poems", max_chars=max_chars)


def test_a_name_with_the_signs_of_a_pattern_may_be_a_file(tmp_path):
    (tmp_path / "[a]*.txt").write_text("this one")
    (tmp_path / "a.txt").write_text("not this one")
    assert load_corpus(str(tmp_path / "[a]*.txt")).text == "this one"


@pytest.mark.parametrize("names", ["poems/*.csv", ["poems", "poems/none.txt"], "poems/empty", "~x"])
def test_a_name_without_files_is_named(poems, names):
    (poems / "empty").mkdir()
    missing = names if isinstance(names, str) else names[1]
    with pytest.raises(CorpusNotFoundError, match=r"a folder of .txt files or a pattern") as caught:
        load_corpus(names)
    assert str(caught.value).endswith(f"got {missing}")
    with pytest.raises(ValueError, match="at least one text, got none"):
        load_corpus([])


@pytest.mark.parametrize("name", ["many", "many/*", "many/a/*"])
def test_a_folder_of_everything_is_refused_at_once(tmp_path, monkeypatch, name):
    """Someone asks for /: no more is looked at than a text may have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxrnn.text.files.MAX_FILES", 10)
    (tmp_path / "many" / "a").mkdir(parents=True)
    (tmp_path / "many" / "a" / "loop").symlink_to(tmp_path / "many")
    for number in range(9):
        (tmp_path / name.rstrip("*") / f"{number}.txt").write_text("a")
    (tmp_path / name.rstrip("*") / "9.md").write_text("a")
    (tmp_path / name.rstrip("*") / "10.md").write_text("a")
    with pytest.raises(ValueError, match=rf"{re.escape(name)} must stand for at most 10 files"):
        find_files(name)


@pytest.mark.parametrize(
    "encoding", ["gbk", "gb18030", "big5", "utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7"]
)
@pytest.mark.parametrize("num_bytes", [1, 2, 3, 7, 1 << 16])
def test_any_encoding_in_any_pieces(tmp_path, monkeypatch, encoding, num_bytes):
    text = POEM if encoding != "big5" else "床前明月光\n"
    (tmp_path / "poem.txt").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    monkeypatch.setattr("jaxrnn.text.corpora.PAGE", num_bytes)
    path = str(tmp_path / "poem.txt")
    assert load_corpus(path, encoding=encoding).text == text
    assert load_corpus(path, encoding=encoding, max_chars=9).text == text[:9]


@pytest.mark.parametrize("num_bytes", [1, 2, 5, 64, 1 << 16])
@pytest.mark.parametrize(
    ("content", "encoding", "place"),
    [
        (POEM.encode("gbk"), "utf-8", "line 1 byte 0xb4 at position 0"),
        (b"ab\ncd\n\nx" + POEM.encode("gbk"), "utf-8", "line 4 byte 0xb4 at position 8"),
        (("é" * 50 + "\n").encode() * 3 + b"\xe9", "utf-8", "line 4 byte 0xe9 at position 303"),
        (b"abc\n\x81\xff", "gb18030", "line 2 byte 0x81 at position 4"),
        (b"abc\n\xc3\xa9", "ascii", "line 2 byte 0xc3 at position 4"),
    ],
)
def test_a_wrong_byte_is_named_with_its_place(
    tmp_path, monkeypatch, content, encoding, place, num_bytes
):
    (tmp_path / "poem.txt").write_bytes(content)
    monkeypatch.setattr("jaxrnn.text.corpora.PAGE", num_bytes)
    wanted = rf"poem\.txt must be text in {encoding}, but in {place} is not"
    with pytest.raises(ValueError, match=wanted):
        load_corpus(str(tmp_path / "poem.txt"), encoding=encoding)


def test_the_likely_encoding_is_named(tmp_path):
    (tmp_path / "poem.txt").write_bytes(POEM.encode("gbk"))
    with pytest.raises(ValueError, match=r"not; it may be gb18030: --encoding gb18030$"):
        load_corpus(str(tmp_path / "poem.txt"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "idna", "punycode"])
def test_an_encoding_without_a_place_for_its_error_names_the_file(tmp_path, encoding):
    (tmp_path / "poem.txt").write_bytes(b"abc \xff" + b"x" * 99)
    with pytest.raises(ValueError, match=rf"poem\.txt must be text in {encoding}"):
        load_corpus(str(tmp_path / "poem.txt"), encoding=encoding)


def test_a_known_corpus_is_not_joined_with_files(tmp_path):
    (tmp_path / "poem.txt").write_text("abc")
    with pytest.raises(ValueError, match="corpus songs must be given alone, without other files"):
        load_corpus(["songs", str(tmp_path / "poem.txt")])


@pytest.mark.parametrize("encoding", ["no-such", "base64", "rot13", "undefined", ""])
def test_an_encoding_that_python_lacks_is_named(tmp_path, encoding):
    (tmp_path / "poem.txt").write_text("abc")
    with pytest.raises(ValueError, match="encoding must be one that Python knows, such as utf-8"):
        load_corpus(str(tmp_path / "poem.txt"), encoding=encoding)


@pytest.mark.parametrize("damage", ["half", "no gzip", "hole"])
def test_a_damaged_gz_file_is_refused(tmp_path, damage):
    whole = gzip.compress(random.Random(0).randbytes(1000).hex().encode())
    content = {
        "half": whole[: len(whole) // 2],
        "no gzip": b"plain text",
        "hole": whole[:300] + whole[400:],
    }[damage]
    (tmp_path / "a.txt.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.txt\.gz must be a gz file that can be read"):
        load_corpus(str(tmp_path / "a.txt.gz"))


@settings(max_examples=100)
@given(st.binary(min_size=1), st.integers(1, 9))
def test_any_bytes_are_a_text(tmp_path_factory, content, max_bytes):
    path = tmp_path_factory.getbasetemp() / "any.bytes"
    path.write_bytes(content)
    text = load_corpus(str(path), encoding=None).text
    assert text_to_bytes(text) == content
    assert (
        text_to_bytes(load_corpus(str(path), encoding=None, max_chars=max_bytes).text)
        == (content[:max_bytes])
    )
    vocabulary = Vocabulary.of(text, unit="byte")
    assert len(vocabulary) == 256
    assert vocabulary.counts == tuple(np.bincount(list(content), minlength=256))
    assert vocabulary.encode(text).tolist() == list(content)
    assert vocabulary.decode(list(content)) == content.decode("utf-8", "replace")
    assert [ord(token) for token in tokenize(text, "byte")] == list(content)


@pytest.mark.parametrize("num_bytes", [1, 100, 1 << 22])
def test_bytes_are_stored_as_they_are(tmp_path, monkeypatch, num_bytes):
    monkeypatch.setattr("jaxrnn.text.pieces.BYTES_PER_PIECE", num_bytes)
    (tmp_path / "a.png").write_bytes(PICTURE)
    (tmp_path / "b.gz").write_bytes(gzip.compress(PICTURE))
    files = [tmp_path / "a.png", tmp_path / "b.gz"]
    write_token_file(lambda: pieces_of(files, "byte"), tmp_path / "tokens", "byte")
    assert open_token_file(tmp_path / "tokens").ids().tolist() == list(PICTURE * 2)


@pytest.mark.parametrize("unit", ["character", "word"])
def test_a_limited_vocabulary_reads_the_rest_as_unknown(tmp_path, unit):
    text = "a b a c a b d "
    (tmp_path / "a.txt").write_text(text)
    size = 4 if unit == "character" else 3
    vocabulary = Vocabulary.of(text, unit=unit, unknown="<unk>", max_size=size)
    assert len(vocabulary) == size
    assert vocabulary.counts[0] == 2  # c and d
    assert set(vocabulary.tokens) - {" "} == {"<unk>", "a", "b"}
    tokens = write_token_file(
        lambda: pieces_of([tmp_path / "a.txt"], unit), tmp_path / "tokens", unit, max_size=size
    )
    assert tokens.vocabulary == vocabulary
    assert open_token_file(tmp_path / "tokens").ids().tolist() == vocabulary.encode(text).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_size": 2}, "max_size = 2 leaves tokens out: name an unknown token"),
        ({"max_size": 1, "unknown": "<unk>"}, "max_size must be above 1, the reserved tokens"),
        ({"max_size": 0}, "max_size must be at least 1"),
        ({"unit": "byte", "max_size": 9}, "bytes always has all 256"),
        ({"unit": "byte", "unknown": "?"}, "bytes always has all 256"),
        ({"unit": "byte", "min_count": 2}, "bytes always has all 256"),
        ({"unit": "bytes"}, "unit must be one of 'character', 'word', 'byte', got 'bytes'"),
    ],
)
def test_a_wrong_limit_is_named(options, message, as_users_run):
    with pytest.raises(ValueError, match=message):
        Vocabulary.of("abcabc", **options)


def test_generated_bytes_are_text_where_they_can_be():
    """The first of them completes the last character of the prompt."""
    vocabulary = Vocabulary.of("床前", unit="byte")
    model = jaxrnn.language_model(256, jaxrnn.recurrent(jaxrnn.rnn(4)))
    import jax

    params = model.init(jax.random.key(0), 256)
    half = text_to_bytes("床")[:2].decode("utf-8", "surrogateescape")
    (sample,) = jaxrnn.generate_samples(model, params, vocabulary, [half], 5)
    ids = jaxrnn.generate_ids(model, params, vocabulary.encode(half)[:, None], 5).ids[:, 0]
    assert sample.text == (text_to_bytes("床")[:2] + bytes(ids.tolist())).decode("utf-8", "replace")
