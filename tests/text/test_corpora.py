"""Corpora: any file, the songs that come with the package, the book's texts where they are."""

import contextlib
import gzip
import hashlib
import os
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrnn.text import (
    Corpus,
    CorpusNotFoundError,
    Vocabulary,
    corpora,
    files,
    load_corpus,
    sources,
)

TEXT = "等天晴\n再出发 again\n"
COMPRESSIONS = {"stored": 0, "deflate": 8, "bzip2": 12, "lzma": 14}


def write_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order-mark"])
@pytest.mark.parametrize("compression", [None, *COMPRESSIONS])
def test_any_text_or_zip_file(tmp_path, start, compression):
    """The text is what it was, without the mark; the digest is of the file that was read."""
    content = start + TEXT.encode()
    if compression is None:
        path = write(tmp_path / "my songs.txt", content)
    else:
        path = write_zip(tmp_path / "my.zip", {"a/b.txt": content}, COMPRESSIONS[compression])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_corpus(str(path)) == Corpus(str(path), TEXT, digest, str(path))


def test_zip_may_hold_other_things_and_what_macos_adds(tmp_path):
    members = {"b.csv": "1,2", "__MACOSX/._a.txt": "not this", "a.txt": TEXT, "c.txt/": ""}
    path = write_zip(tmp_path / "a.zip", members)
    assert load_corpus(str(path)).text == TEXT


@pytest.mark.parametrize("name", ["missing.txt", "missing.zip", ".", "", "no-such-name", "x" * 300])
def test_missing_file_is_named_beside_the_known_corpora(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusNotFoundError, match=r"jaychou, time_machine, .*songs") as caught:
        load_corpus(name)
    assert name in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must hold some text"),
        (b" \n\t\r\n", "must hold some text"),
        (b"\xef\xbb\xbf", "must hold some text"),
        (b"abc\xff\n", "must be text in utf-8, but in line 1 byte 0xff at position 3 is not"),
        ("ab\n晴".encode()[:5], "must be text in utf-8, but in line 2 byte 0xe6 at position 3"),
        (TEXT.encode("gb18030"), "must be text in utf-8, but in line 1 byte 0xb5 at position 0"),
        (TEXT.encode("utf-16"), "must be text in utf-8, .* 0xff .*: --encoding utf_16$"),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".zip"])
def test_file_without_text_is_refused(tmp_path, content, message, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, content) if suffix == ".txt" else write_zip(path, {"a.txt": content})
    with pytest.raises(ValueError, match=rf"a\{suffix} {message}"):
        load_corpus(str(path))


@pytest.mark.parametrize(
    ("members", "listed"),
    [
        ({}, "none"),
        ({"a.csv": "1,2", "txt": "no suffix"}, "none"),
        ({"a.txt": TEXT, "b/c.txt": TEXT}, "a.txt, b/c.txt"),
    ],
)
def test_zip_must_hold_exactly_one_text(tmp_path, members, listed):
    path = write_zip(tmp_path / "a.zip", members)
    with pytest.raises(
        ValueError, match=rf"a\.zip must hold exactly one \.txt file, got {listed}$"
    ):
        load_corpus(str(path))


def flip(content):
    """Other compressed bytes; the directory at the end stays whole."""
    return content[:60] + bytes(byte ^ 0x5A for byte in content[60:400]) + content[400:]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"PK\x03\x04 but no more", id="no-zip"),
        pytest.param(lambda whole: whole[: len(whole) // 2], id="first-half"),
        pytest.param(lambda whole: whole[:300] + whole[400:], id="hole"),
        pytest.param(flip, id="flipped"),
    ],
)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_damaged_zip_is_refused(tmp_path, compression, damage):
    text = " ".join(hashlib.sha256(bytes([i])).hexdigest() for i in range(40))
    path = write_zip(tmp_path / "a.zip", {"a.txt": text}, COMPRESSIONS[compression])
    write(path, damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"a\.zip must be a zip file that can be read"):
        load_corpus(str(path))


@settings(max_examples=150)
@given(st.sampled_from(sorted(COMPRESSIONS)), st.integers(0, 2**16), st.integers(1, 255))
def test_one_wrong_byte_is_harmless_or_refused(tmp_path_factory, compression, place, change):
    """Whatever breaks inside `zipfile`, the caller sees a ValueError."""
    path = tmp_path_factory.getbasetemp() / "one-wrong-byte.zip"
    write_zip(path, {"a.txt": TEXT * 5}, COMPRESSIONS[compression])
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= change
    with contextlib.suppress(ValueError):
        assert load_corpus(str(write(path, content))).text == TEXT * 5


def test_encrypted_zip_is_refused(tmp_path, survived):
    path = write_zip(tmp_path / "a.zip", {"a.txt": TEXT})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ValueError, match="encrypted"):
        load_corpus(str(write(path, content)))
    survived("security", 1)


@pytest.mark.parametrize("suffix", [".txt", ".zip"])
def test_size_is_limited_also_inside_a_zip(tmp_path, monkeypatch, suffix, survived):
    """A zip bomb is a small file: what counts is what comes out of it."""
    monkeypatch.setattr(corpora, "MAX_BYTES", 5000)
    monkeypatch.setattr(corpora, "MAX_CHARS", 5000)
    path = tmp_path / f"a{suffix}"
    for size in (5000, 5001, 1_000_000):
        content = b"a" * size
        write(path, content) if suffix == ".txt" else write_zip(path, {"a.txt": content})
        if size == 5000:
            assert len(load_corpus(str(path)).text) == 5000
            continue
        with pytest.raises(ValueError, match=rf"a\{suffix} must .* at most 5,000 (byt|char)"):
            load_corpus(str(path))
    survived("security", 1)


def test_zip_bomb_never_fills_the_memory(tmp_path, monkeypatch, survived):
    monkeypatch.setattr(corpora, "MAX_CHARS", 5000)
    path = write_zip(tmp_path / "a.zip", {"a.txt": bytes(1 << 24)})
    tracemalloc.start()
    with pytest.raises(ValueError, match="at most 5,000 characters"):
        load_corpus(str(path))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    survived("security", 1)


def test_no_more_of_a_file_takes_memory_than_is_used(tmp_path, survived):
    """A zip file of 64 KB that holds 64 MB; what is hashed is the file."""
    path = write_zip(tmp_path / "a.zip", {"a.txt": b"ab\r\n" * (1 << 24)})
    tracemalloc.start()
    corpus = load_corpus(str(path), max_chars=10_000)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert corpus.text == ("ab\n" * 3334)[:10_000]
    assert corpus.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    survived("security", 1)


@pytest.mark.parametrize("suffix", [".txt", ".zip"])
@pytest.mark.parametrize("max_chars", [1, 2, 3, 7, 36, 37, 1000])
def test_the_first_characters_of_a_text_are_those_of_the_whole(tmp_path, suffix, max_chars):
    """Whatever bytes and line ends the cut goes through."""
    text = "\ufeff分开\r\n😀é\rab\n\r\n" * 4
    path = tmp_path / f"a{suffix}"
    write(path, text.encode()) if suffix == ".txt" else write_zip(path, {"a.txt": text})
    whole, part = load_corpus(str(path)), load_corpus(str(path), max_chars=max_chars)
    assert part.text == whole.text[:max_chars]
    assert part.digest == whole.digest


@pytest.mark.parametrize("suffix", [".txt", ".zip", ".gz"])
def test_what_is_hashed_is_what_is_used(tmp_path, monkeypatch, suffix, survived):
    """Someone swaps the file, or writes into it, as soon as its first bytes have been read."""
    path = tmp_path / f"a{suffix}"

    def put(text):
        if suffix == ".gz":
            return write(path, gzip.compress(text.encode())).read_bytes()
        write(path, text.encode()) if suffix == ".txt" else write_zip(path, {"a.txt": text})
        return path.read_bytes()

    def read_and_swap(self, buffer):
        size = readinto(self, buffer)
        monkeypatch.undo()
        path.unlink() if swap else None
        put("another text, longer than the first one")
        return size

    readinto, swap = files.HashingReader.readinto, True
    first = put(TEXT)
    monkeypatch.setattr(files.HashingReader, "readinto", read_and_swap)
    corpus = load_corpus(str(path))
    assert corpus.text == TEXT
    assert corpus.digest == hashlib.sha256(first).hexdigest()

    swap = False
    path = tmp_path / "b.txt"
    suffix = ".txt"
    put("a" * 100_000)
    monkeypatch.setattr(files.HashingReader, "readinto", read_and_swap)
    corpus = load_corpus(str(path))
    assert hashlib.sha256(corpus.text.encode()).hexdigest() == corpus.digest
    survived("security", 2)


@pytest.mark.parametrize(
    "ends", ["\n", "\r\n", "\r"], ids=["line feeds", "both", "carriage returns"]
)
def test_lines_end_in_a_line_feed_whatever_they_ended_in(tmp_path, ends):
    path = write(tmp_path / "a.txt", ends.join(["ab", "", "cd", ""]).encode())
    assert load_corpus(str(path)).text == "ab\n\ncd\n"


@pytest.mark.parametrize("name", sorted(sources.SOURCES))
@pytest.mark.parametrize("fallback", [None, "songs"])
def test_known_corpus_with_another_digest_is_refused(
    tmp_path, monkeypatch, name, fallback, survived
):
    """Also where a fallback is allowed: someone put the wrong file there and should know."""
    source = sources.SOURCES[name]
    monkeypatch.setenv("JAXRNN_DATA", str(tmp_path))
    path = tmp_path / source.file
    path.parent.mkdir(exist_ok=True)
    write_zip(path, {"a.txt": TEXT}) if path.suffix == ".zip" else write(path, TEXT.encode())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=f"SHA-256 {source.digest} .* {name}, got {digest}"):
        load_corpus(name, fallback=fallback)
    survived("security", 1)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("The Time Machine, by H. G. Wells [1898]\n", "the time machine by h g wells"),
        ("\n\n  I  \n\r\nThe Time-Traveller\n", "ithe time traveller"),
        ("1898\n_so_ it\u2014he said\n", "so it he said"),
        ("", ""),
    ],
)
def test_cleaning_of_the_time_machine(text, cleaned):
    assert sources.letters_only(text) == cleaned


def test_words_of_neighbouring_lines_stay_apart():
    assert sources.words_only("The Time\n\nTraveller (for so\n") == "the time traveller for so"


def test_bundled_songs():
    """As much text as the main job needs, and lyrics: refrains return, but within one song."""
    corpus = load_corpus("songs")
    path = Path(corpora.__file__).parent / "songs.txt"
    assert corpus.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert corpus.name == "songs"
    assert "songs" in corpus.source
    chinese = [character for character in corpus.text if "\u4e00" <= character <= "\u9fff"]
    assert len(chinese) >= 12_000
    assert len(set(chinese)) >= 900
    for prompt in ("分开", "不分开", "天晴"):
        assert prompt in corpus.text[:10_000]


def test_no_line_is_in_two_songs():
    songs = load_corpus("songs").text.strip().split("\n\n")
    assert len(songs) > 20
    songs_with = Counter(line for song in songs for line in set(song.splitlines()))
    assert [line for line, n in songs_with.items() if n > 1] == []


def real(name):
    """A corpus of the book, where JAXRNN_DATA has it."""
    folder = os.environ.get("JAXRNN_DATA")
    if not folder or not (Path(folder) / sources.SOURCES[name].file).is_file():
        pytest.skip("needs the book's texts in JAXRNN_DATA")
    return load_corpus(name)


def test_jaychou():
    corpus = real("jaychou")
    assert (len(corpus.text), len(set(corpus.text))) == (63_282, 2_583)
    assert corpus.digest == sources.SOURCES["jaychou"].digest
    assert corpus.source == "jaychou_lyrics.txt.zip in JAXRNN_DATA"
    text = corpus.text.replace("\n", " ").replace("\r", " ")[:10_000]
    vocabulary = Vocabulary.of(text)
    assert len(vocabulary) == 1_027
    assert "<unk>" not in vocabulary
    for part in (slice(20), slice(50, 100)):
        assert vocabulary.decode(vocabulary.encode(text)[part]) == text[part]
    digest = hashlib.sha256(text[50:100].encode()).hexdigest()
    assert digest == "9f13293a0eb0eb6049185c19a87e4186ca27b80a8bd304de599b59050efb0e32"


def test_time_machine():
    corpus = real("time_machine")
    assert len(corpus.text) == 170_580
    vocabulary = Vocabulary.of(corpus.text, unknown="<unk>")
    assert len(vocabulary) == 28
    assert vocabulary.tokens[:6] == ("<unk>", " ", "e", "t", "a", "i")
    for part in (slice(20), slice(50, 100)):
        assert vocabulary.decode(vocabulary.encode(corpus.text[:100])[part]) == corpus.text[part]
    assert corpus.text[:20] == "the time machine by "


def test_the_treebank_is_spelt_out_by_mikolovs_convention():
    """Spaces between words and line ends are tokens, spaces at the ends of lines are not."""
    text = " no it was n't <unk> \n but N \n"
    assert sources.SOURCES["ptb_test_characters"].clean(text) == "no it was n't <unk>\nbut N\n"


@pytest.mark.parametrize(
    ("name", "length", "distinct"),
    [
        ("shakespeare", 1_115_394, 65),
        ("ptb_train_characters", 5_017_482, 50),  # 5,017k, 393k and 442k in the literature
        ("ptb_valid_characters", 393_042, 50),
        ("ptb_test_characters", 442_423, 48),
    ],
)
def test_texts_of_characters_have_the_published_sizes(name, length, distinct):
    folder = os.environ.get("JAXRNN_DATA")
    if not folder or not (Path(folder) / sources.SOURCES[name].file).is_file():
        pytest.skip("needs the corpus in JAXRNN_DATA")
    text = load_corpus(name).text
    assert (len(text), len(set(text))) == (length, distinct)
