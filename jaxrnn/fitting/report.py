"""The progress of a fit: a bar in a terminal where tqdm is installed, and lines elsewhere."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

from jaxrnn.fitting.history import describe

LINES = 10
"""The approximate number of lines of a whole fit."""


@contextlib.contextmanager
def reported(
    num_epochs: int, done: int = 0, *, enabled: bool = True
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that shows the row of an epoch that is finished."""
    if not enabled or sys.stderr is None:
        yield lambda row: None
        return
    tqdm = _tqdm()
    if tqdm is None:
        every = math.ceil(num_epochs / LINES)

        def show(row: dict[str, Any]) -> None:
            if row["epoch"] % every == 0 or row["epoch"] in (1, num_epochs):
                print(describe(row), file=sys.stderr, flush=True)

        yield show
        return
    with tqdm(total=num_epochs, initial=done, unit="epoch", dynamic_ncols=True) as bar:

        def advance(row: dict[str, Any]) -> None:
            _, _, words = describe(row).partition(": ")
            bar.set_postfix_str(words, refresh=False)
            bar.update()

        yield advance


def _tqdm() -> Any:
    """Return tqdm's bar if it is installed and there is a terminal or a notebook to show it."""
    if not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm
