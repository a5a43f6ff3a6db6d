"""The studio's server, on this machine alone."""

import logging
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from jaxrnn.runs.loading import Use
from jaxrnn.studio.app import Pages, make_app

HOST = "127.0.0.1"


class Server(uvicorn.Server):
    """A server that says when it listens, and cancels what is running when it ends."""

    def __init__(self, config: uvicorn.Config, pages: Pages, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self.pages, self._listening = pages, listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and wait for the answers that are on their way."""
        self.pages.computations.cancel()
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what is cut off is no error
        await super().shutdown(sockets)


def make_server(
    run_dir: Path, use: Use | None, port: int, listening: Callable[[str], None]
) -> tuple[Server, socket.socket]:
    """Load a run, and return a server that shows it, and the socket to serve on.

    Args:
        run_dir: the folder of the run.
        use: the parameters to use.
        port: the port to listen on; 0 chooses a free one.
        listening: called with the page's address once the server listens.

    Raises:
        CheckpointError: the run cannot be loaded.
        ValueError: the port is in use.
    """
    bound = _listen(port)
    try:
        pages = Pages(run_dir, use)
    except BaseException:
        bound.close()
        raise
    port, token = bound.getsockname()[1], secrets.token_urlsafe(24)
    config = uvicorn.Config(
        make_app(pages, token, port),
        lifespan="off",
        log_level="warning",
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    address = f"http://{HOST}:{port}/?token={token}"
    return Server(config, pages, lambda: listening(address)), bound


def _listen(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
        bound.listen()  # at once: until then another one could bind it, too
    except OSError as error:
        bound.close()
        raise ValueError(
            f"port {port} cannot be used ({error.strerror}): choose another with --port, or 0 for"
            " any that is free"
        ) from error
    return bound
