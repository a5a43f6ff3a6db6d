"""A small run, and a studio that serves it."""

import contextlib
import http.client
import json
import threading
from typing import NamedTuple

import jaxrnn
from jaxrnn.runs.metrics import MetricsLog
from jaxrnn.runs.run import Run
from jaxrnn.runs.saver import Saver
from jaxrnn.runs.settings import Settings

TEXT = 'He said "no" (twice).\nShe said "yes" 7 times.\n' * 40


def make_run(folder, unit="character", model=None):
    """A run before its first step, with the metrics of three epochs."""
    folder.mkdir()
    (folder / "text.txt").write_text(TEXT)
    network = {"cell": "lstm", "hidden_size": 16, "embedding_size": 8, "num_layers": 2}
    settings = Settings(
        model=jaxrnn.ModelConfig(init="uniform", **(network | (model or {}))),
        corpus=str(folder / "text.txt"),
        training=jaxrnn.TrainConfig(batch_size=4, num_steps=8),
        unit=unit,
        max_chars=200 if unit == "word" else 1200,
        validation_chars=0,
        held_out_chars=0,
        keep_line_breaks=True,
        prompts=("He",),
        out=folder / "run",
    )
    with Saver(Run(settings)) as saver:
        saver.start()
    with MetricsLog(folder / "run") as log:
        for epoch in (1, 2, 3):
            log.add({"epoch": epoch, "step": epoch, "perplexity": 9.0 / epoch, "seconds": 1.0})
    return folder / "run"


class Served(NamedTuple):
    """A studio that is running."""

    address: str
    """With the token."""
    port: int
    token: str
    pages: object
    """The handlers of its requests."""
    bound: object
    """The socket that it listens on."""

    def headers(self, method):
        """The headers that the page sends along."""
        headers = {"Cookie": f"studio-{self.port}={self.token}"}
        if method == "POST":
            headers["Origin"] = f"http://127.0.0.1:{self.port}"
            headers["Content-Type"] = "application/json"
        return headers

    def ask(self, method, path, body=None, **headers):
        """(status, headers, body) of a request, with the cookie unless headers say otherwise."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        given = self.headers(method)
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        given = {name: value for name, value in given.items() if value is not None}
        with contextlib.closing(connection):
            connection.request(method, path, body, given)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()

    def lines(self, path, body):
        """The lines of JSON that answer a request."""
        status, _, content = self.ask("POST", path, body)
        assert status == 200, content
        return [json.loads(line) for line in content.decode().splitlines()]


def serve(run_dir):
    """(studio, function that ends it)."""
    from jaxrnn.studio.server import make_server

    listening = threading.Event()
    addresses = []

    def started(address):
        addresses.append(address)
        listening.set()

    server, bound = make_server(run_dir, None, 0, started)
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    assert listening.wait(60)
    (address,) = addresses
    port = bound.getsockname()[1]

    def end():
        server.should_exit = True
        thread.join(30)
        bound.close()
        assert not thread.is_alive()

    return Served(address, port, address.split("token=")[1], server.pages, bound), end
