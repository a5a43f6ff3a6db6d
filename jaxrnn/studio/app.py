"""The studio's application: the page, and the answers to what it asks."""

import importlib.resources
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jaxrnn.runs.loading import Use, with_saved
from jaxrnn.runs.metrics import read_metrics
from jaxrnn.studio.computations import BusyError, Computations
from jaxrnn.studio.guard import Guard
from jaxrnn.studio.model import Studio, frame, line
from jaxrnn.studio.requests import LookInside, Read, Write, read_request

LINES = "application/x-ndjson"
BINARY = "application/octet-stream"

PAGE = importlib.resources.files("jaxrnn.studio") / "page"
"""The files of the page; no others are served."""

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
"""The media types of these files."""


class Pages:
    """The handlers of requests, and the model that they show."""

    def __init__(self, run_dir: Path, use: Use | None) -> None:
        """Load the model of a run.

        Raises:
            CheckpointError: the run cannot be loaded.
        """
        self.run_dir, self.use = run_dir, use
        self.studio, self.step = self._load()
        self.computations = Computations()
        files = (file for file in PAGE.iterdir() if Path(file.name).suffix in TYPES)
        self.files = {file.name: file.read_bytes() for file in files}

    def _load(self) -> tuple[Studio, int]:
        """Return the model of the newest checkpoint, and how many steps it was trained for."""
        return with_saved(self.run_dir, self.use, lambda saved, run: (Studio(run), saved.step))

    async def page(self, request: Request) -> Response:
        """Send a file of the page."""
        name = request.path_params.get("name", "index.html")
        if name not in self.files:
            return JSONResponse({"error": "there is no such page"}, 404)
        return Response(self.files[name], media_type=TYPES[Path(name).suffix])

    async def model(self, request: Request) -> Response:
        """Send the description of the model."""
        of_run = {"run": self.run_dir.resolve().name, "step": self.step}
        return JSONResponse(of_run | self.studio.description)

    async def write(self, request: Request) -> Response:
        """Continue a text."""
        return await self._compute(request, Write, self.studio.write, LINES)

    async def read(self, request: Request) -> Response:
        """Read a text."""
        return await self._compute(request, Read, self.studio.read, LINES)

    async def look_inside(self, request: Request) -> Response:
        """Read a text, and show a layer."""
        return await self._compute(request, LookInside, self.studio.look_inside, BINARY)

    async def _compute(
        self,
        request: Request,
        kind: type[Any],
        compute: Callable[[Any], Iterator[bytes]],
        media_type: str,
    ) -> Response:
        asked = read_request(kind, await request.json())
        error = frame if media_type == BINARY else line
        return await self.computations.answer(
            compute(asked), lambda message: error({"error": message}), media_type
        )

    async def cancel(self, request: Request) -> Response:
        """Cancel the computation that is running."""
        return JSONResponse({"cancelled": await self.computations.cancel_and_wait()})

    async def training(self, request: Request) -> Response:
        """Send the rows of the run's metrics, as they stand now."""
        return JSONResponse({"rows": await to_thread.run_sync(read_metrics, self.run_dir)})

    async def reload(self, request: Request) -> Response:
        """Load the run's newest parameters."""
        self.studio, self.step = await to_thread.run_sync(self._load)
        return await self.model(request)


def error_response(request: Request, error: Exception) -> Response:
    """Say in a line what was wrong with a request."""
    status = 409 if isinstance(error, BusyError) else 400
    if isinstance(error, ClientDisconnect):
        status, error = 413, ValueError("the request is too long, or was broken off")
    return JSONResponse({"error": " ".join(str(error).split())}, status)


def make_app(pages: Pages, token: str, port: int) -> Guard:
    """Return the application that shows a run, behind its guard."""
    errors = (ValueError, TypeError, OSError, BusyError, ClientDisconnect, RecursionError)
    return Guard(
        Starlette(
            routes=[
                Route("/", pages.page),
                Route("/page/{name}", pages.page),
                Route("/api/model", pages.model),
                Route("/api/training", pages.training),
                Route("/api/write", pages.write, methods=["POST"]),
                Route("/api/read", pages.read, methods=["POST"]),
                Route("/api/inside", pages.look_inside, methods=["POST"]),
                Route("/api/cancel", pages.cancel, methods=["POST"]),
                Route("/api/reload", pages.reload, methods=["POST"]),
            ],
            exception_handlers=dict.fromkeys(errors, error_response),
        ),
        token,
        port,
    )
