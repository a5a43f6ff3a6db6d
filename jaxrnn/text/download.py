"""Downloads with a pinned digest, into a cache; pooch does the work."""

from pathlib import Path
from typing import Any, BinaryIO

import pooch
import requests
from tqdm import tqdm

from jaxrnn.checks import check_regular_file

TIMEOUT = 20
"""Seconds to wait for a server that says nothing."""

CHUNK_BYTES = 1 << 14
"""Bytes that are read, counted and written at a time."""


class CappedFile:
    """A file that shows its growth and stops a download which is larger than announced."""

    def __init__(self, file: BinaryIO, most_bytes: int, progress: Any) -> None:
        self.file, self.most_bytes, self.progress = file, most_bytes, progress
        self.num_bytes = 0

    def write(self, content: bytes) -> None:
        """Write, unless that is too much."""
        self.num_bytes += len(content)
        if self.num_bytes > self.most_bytes:
            raise OSError(f"the download must have at most {self.most_bytes:,} bytes")
        self.file.write(content)
        self.progress.update(len(content))

    def flush(self) -> None:
        """Hand everything to the system."""
        self.file.flush()


def cached_download(url: str, file: str, digest: str, num_bytes: int) -> Path:
    """The file, from the user's cache or, the first time, from the network.

    It is written beside its place, checked against the digest, and renamed only then.

    Args:
        url: its address.
        file: its name in the cache.
        digest: its SHA-256.
        num_bytes: its size.

    Raises:
        OSError: it could not be downloaded, was too large, has another digest, or its place in the
            cache is taken by what is no file.
    """

    def fetch(url: str, output_file: Any, caller: Any) -> None:
        download = pooch.HTTPDownloader(chunk_size=CHUNK_BYTES, timeout=TIMEOUT)
        with (
            open(output_file, "wb") as opened,
            tqdm(
                total=num_bytes, unit="B", unit_scale=True, desc=file, leave=False, disable=None
            ) as progress,
        ):
            download(url, CappedFile(opened, num_bytes, progress), caller)

    folder = Path(pooch.os_cache("jaxrnn"))
    try:
        if (folder / file).exists():  # pooch reads whatever is there
            check_regular_file(folder / file)
        path = pooch.retrieve(
            url, known_hash=f"sha256:{digest}", fname=file, path=folder, downloader=fetch
        )
    except ValueError as error:  # pooch's word for another digest, too
        raise OSError(str(error)) from error
    except requests.RequestException as error:
        raise OSError(type(error).__name__) from error
    return Path(path)
