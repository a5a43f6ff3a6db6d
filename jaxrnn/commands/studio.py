"""Open a page that shows a trained model at work.

    jaxrnn studio runs/mine
    jaxrnn studio runs/mine --port 9000 --no-browser

Write with it, token by token; see what surprises it in a text; look at its units and gates; watch a
run that is still training.  The page is served to this machine alone, at an address with a secret
token.  Ctrl-C ends it.  It needs `pip install 'jaxrnn[studio]'`.
"""

import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import tyro

from jaxrnn.checks import check_integer
from jaxrnn.commands import command_line
from jaxrnn.runs import Use


@dataclass(frozen=True)
class Settings:
    """The flags of `jaxrnn studio`."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    port: int = 8765
    """Port to listen on; 0 chooses one that is free."""
    use: Use | None = None
    """Show the newest parameters (checkpoints), those that did best on the validation text, or the
    average that --average keeps; by default the average if there is one, else the newest."""
    no_browser: bool = False
    """Do not open the page in the browser, only print its address."""

    def __post_init__(self) -> None:
        check_integer("port", self.port)
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port must be between 0 and 65,535, got {self.port}")


def studio(settings: Settings) -> None:
    """Serve the page until Ctrl-C."""
    try:
        from jaxrnn.studio.server import make_server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("starlette", "uvicorn", "anyio"):
            raise
        raise ValueError("the studio needs `pip install 'jaxrnn[studio]'`") from error

    def show(address: str) -> None:
        print(f"studio of {settings.run_dir}: {address}\nCtrl-C ends it", flush=True)
        if not settings.no_browser:
            # Some browsers return when they are closed; the server must answer them meanwhile.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    server, bound = make_server(settings.run_dir, settings.use, settings.port, show)
    with bound:
        try:
            server.run([bound])
        except KeyboardInterrupt:  # uvicorn has closed everything, and passes it on
            print("the studio is closed")


def main() -> NoReturn:
    """Run the command line."""
    command_line.main(studio, Settings, description=__doc__)


if __name__ == "__main__":
    main()
