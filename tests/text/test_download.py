"""Downloads against a server on this machine, and the places where a known corpus is looked for."""

import gzip
import hashlib
import http.server
import os
import socket
import sys
import threading

import pooch
import pytest

from jaxrnn.text import CorpusNotFoundError, download, load_corpus, sources

TEXT = "".join(f"{i} 分开\n" for i in range(5_000))
BODY = TEXT.encode()
DIGEST = hashlib.sha256(BODY).hexdigest()
PIECES = [BODY[i : i + 500] for i in range(0, len(BODY), 500)]
CHUNKED = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*PIECES, b""])
ZEROS = gzip.compress(bytes(1 << 24))


def length(body):
    return {"Content-Length": str(len(body))}


REPLIES = {
    "/good": (200, length(BODY), BODY),
    "/without-length": (200, {}, BODY),
    "/in-pieces": (200, {"Transfer-Encoding": "chunked"}, CHUNKED),
    "/compressed": (200, {"Content-Encoding": "gzip"}, gzip.compress(BODY)),
    "/wrong": (200, length(BODY), BODY[::-1]),
    "/empty": (200, length(b""), b""),
    "/one-more": (200, length(BODY + b"\n"), BODY + b"\n"),
    "/endless": (200, length(BODY * 20), BODY * 20),
    "/endless-without-length": (200, {}, BODY * 20),
    "/endless-in-pieces": (200, {"Transfer-Encoding": "chunked"}, CHUNKED[:-5] * 20),
    "/bomb": (200, {"Content-Encoding": "gzip"} | length(ZEROS), ZEROS),
    "/cut": (200, length(BODY), BODY[: len(BODY) // 2]),
    "/cut-without-length": (200, {}, BODY[: len(BODY) // 2]),
    "/cut-in-pieces": (200, {"Transfer-Encoding": "chunked"}, CHUNKED[: len(CHUNKED) // 2]),
    "/missing": (404, length(b"no such file"), b"no such file"),
    "/broken": (500, length(BODY), BODY),
    "/elsewhere": (302, {"Location": "/good"}, b""),
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends what the table says and closes the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, headers, body = REPLIES[self.path]
        self.server.requests.append(self.path)
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:  # the client has had enough
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server with its `url` and the paths of its `requests`; `stop` may come early."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url, server.requests = f"http://127.0.0.1:{server.server_port}", []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def stop():
        server.shutdown()
        server.server_close()

    server.stop = stop
    yield server
    stop()
    thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of the cache, empty at first."""
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    return tmp_path / "cache" / "jaxrnn"


def fetch(url, digest=DIGEST):
    return download.cached_download(url, "a.txt", digest, len(BODY))


@pytest.mark.parametrize(
    "path", ["/good", "/without-length", "/in-pieces", "/compressed", "/elsewhere"]
)
def test_downloads_once_and_then_reads_the_cache(server, cache, path):
    """However the server cuts or packs what it sends; later it need not even be there."""
    assert fetch(server.url + path) == cache / "a.txt"
    assert [file.name for file in cache.iterdir()] == ["a.txt"]
    assert (cache / "a.txt").read_bytes() == BODY
    asked = list(server.requests)
    assert fetch(server.url + path) == cache / "a.txt"
    server.stop()
    assert fetch(server.url + path) == cache / "a.txt"
    assert server.requests == asked


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/wrong", "SHA256 hash"),
        ("/empty", "SHA256 hash"),
        ("/one-more", "SHA256 hash|at most"),
        ("/endless", "the download must have at most"),
        ("/endless-without-length", "the download must have at most"),
        ("/endless-in-pieces", "the download must have at most"),
        ("/bomb", "the download must have at most"),
        ("/cut", "ConnectionError|ChunkedEncodingError|SHA256 hash"),
        ("/cut-without-length", "SHA256 hash"),
        ("/cut-in-pieces", "ConnectionError|ChunkedEncodingError"),
        ("/missing", "HTTPError"),
        ("/broken", "HTTPError"),
    ],
)
def test_failed_download_leaves_nothing_behind(server, cache, path, message, survived):
    with pytest.raises(OSError, match=message):
        fetch(server.url + path)
    assert list(cache.iterdir()) == []
    assert fetch(server.url + "/good").read_bytes() == BODY
    survived("security", 1)


def test_refused_connection(server, cache, survived):
    server.stop()
    with pytest.raises(OSError, match="ConnectionError"):
        fetch(server.url + "/good")
    assert list(cache.iterdir()) == []
    survived("security", 1)


def test_silent_server(cache, monkeypatch, survived):
    """It accepts the connection and says nothing: the patience has an end."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(OSError, match="Timeout"):
            fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/good")
        assert list(cache.iterdir()) == []
    survived("security", 1)


def test_damaged_file_in_the_cache_is_replaced(server, cache, survived):
    cache.mkdir(parents=True)
    (cache / "a.txt").write_bytes(BODY[:-1])
    assert fetch(server.url + "/good").read_bytes() == BODY
    (cache / "a.txt").write_bytes(BODY[:-1])
    server.stop()
    with pytest.raises(OSError, match="ConnectionError"):
        fetch(server.url + "/good")
    survived("security", 1)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_in_the_cache_is_not_waited_for(make, server, cache, survived):
    cache.mkdir(parents=True)
    make(cache / "a.txt")
    with pytest.raises(OSError, match=r"a\.txt must be a regular file"):
        fetch(server.url + "/good")
    survived("security", 1)


def test_cache_that_cannot_be_written(server, cache):
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(OSError, match="cache"):
        fetch(server.url + "/good")


@pytest.fixture
def known(server, cache, tmp_path, monkeypatch):
    """A corpus called `known`, which that server has, and a folder for JAXRNN_DATA without it."""
    source = sources.Source("a.txt", server.url + "/good", DIGEST, len(BODY), str.upper)
    monkeypatch.setitem(sources.SOURCES, "known", source)
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("JAXRNN_DATA", str(folder))
    return folder


def test_own_folder_comes_first(known, server, cache):
    (known / "a.txt").write_bytes(BODY)
    corpus = load_corpus("known", fallback="songs")
    assert corpus == ("known", TEXT.upper(), DIGEST, "a.txt in JAXRNN_DATA")
    assert server.requests == []
    assert not cache.exists()


@pytest.mark.parametrize("folder", ["empty", "missing", "unset"])
def test_then_the_cache_and_before_it_a_download(known, server, monkeypatch, folder):
    if folder == "missing":
        known.rmdir()
    if folder == "unset":
        monkeypatch.delenv("JAXRNN_DATA")
    for _ in range(2):
        corpus = load_corpus("known", fallback="songs")
        assert corpus == ("known", TEXT.upper(), DIGEST, server.url + "/good")
        assert server.requests == ["/good"]
        server.stop()


def test_at_last_the_fallback_says_what_happened(known, server):
    """Only where the caller allows it."""
    server.stop()
    with pytest.raises(CorpusNotFoundError, match=r"a\.txt is not in JAXRNN_DATA .*/good \(Conn"):
        load_corpus("known")
    songs, corpus = load_corpus("songs"), load_corpus("known", fallback="songs")
    assert corpus[:3] == songs[:3]
    said = f"{songs.source}, instead of known: a.txt is not in JAXRNN_DATA and could not be"
    assert corpus.source.startswith(said)
    assert f"{server.url}/good (ConnectionError)" in corpus.source


def test_wrong_download_falls_back_too(known, server, monkeypatch):
    source = sources.SOURCES["known"]._replace(url=server.url + "/wrong")
    monkeypatch.setitem(sources.SOURCES, "known", source)
    corpus = load_corpus("known", fallback="songs")
    assert (corpus.name, corpus.digest) == ("songs", load_corpus("songs").digest)
    assert "SHA256 hash" in corpus.source


def test_without_pooch_there_is_no_download(known, monkeypatch):
    """A package of the extra `experiments`: the error says how to get it."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.delitem(sys.modules, "jaxrnn.text.download")
    with pytest.raises(CorpusNotFoundError, match=r"needs pooch: pip install 'jaxrnn\[comm"):
        load_corpus("known")
    assert load_corpus("known", fallback="songs").name == "songs"
    (known / "a.txt").write_bytes(BODY)
    assert load_corpus("known").text == TEXT.upper()
