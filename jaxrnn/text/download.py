"""Downloads with a pinned digest, into a cache; pooch does the work."""

from pathlib import Path
from typing import Any

import pooch
import requests
from tqdm import tqdm

TIMEOUT = 20
"""Seconds to wait for a server that says nothing."""

CHUNK_BYTES = 1 << 14
"""Bytes that are read, counted and written at a time."""


class CappedProgress(tqdm):  # type: ignore[type-arg]
    """A progress bar that stops a download which is larger than announced."""

    def __init__(self, most_bytes: int, **options: Any) -> None:
        super().__init__(unit="B", unit_scale=True, **options)
        self.most_bytes = most_bytes

    def update(self, n: float | None = 1) -> bool | None:
        if self.n + (n or 0) > self.most_bytes:
            raise OSError(f"the download must have at most {self.most_bytes:,} bytes")
        return super().update(n)


def cached_download(url: str, file: str, digest: str, num_bytes: int) -> Path:
    """The file, from the user's cache or, the first time, from the network.

    It is written beside its place, checked against the digest, and renamed only then.

    Args:
        url: its address.
        file: its name in the cache.
        digest: its SHA-256.
        num_bytes: its size.

    Raises:
        OSError: it could not be downloaded, was too large, or has another digest.
    """

    def fetch(url: str, output_file: Any, caller: Any) -> None:
        with CappedProgress(num_bytes + CHUNK_BYTES, desc=file, leave=False) as progress:
            download = pooch.HTTPDownloader(
                progressbar=progress, chunk_size=CHUNK_BYTES, timeout=TIMEOUT
            )
            download(url, output_file, caller)

    try:
        path = pooch.retrieve(
            url,
            known_hash=f"sha256:{digest}",
            fname=file,
            path=pooch.os_cache("jaxrnn"),
            downloader=fetch,
        )
    except ValueError as error:  # pooch's word for another digest
        raise OSError(str(error)) from error
    except requests.RequestException as error:
        raise OSError(type(error).__name__) from error
    return Path(path)
