"""Downloads with a pinned digest, cached by pooch."""

from pathlib import Path
from typing import Any, BinaryIO

import pooch
import requests
from tqdm import tqdm

from jaxrnn.checks import check_regular_file

TIMEOUT = 20
"""Seconds to wait for a silent server."""

CHUNK_BYTES = 1 << 14
"""Bytes read, counted and written at a time."""


class CappedFile:
    """A file that reports progress and stops a download that is larger than announced."""

    def __init__(self, file: BinaryIO, most_bytes: int, progress: Any) -> None:
        self.file, self.most_bytes, self.progress = file, most_bytes, progress
        self.num_bytes = 0

    def write(self, content: bytes) -> None:
        """Write, or raise if the download is too large."""
        self.num_bytes += len(content)
        if self.num_bytes > self.most_bytes:
            raise OSError(f"the download must have at most {self.most_bytes:,} bytes")
        self.file.write(content)
        self.progress.update(len(content))

    def flush(self) -> None:
        """Flush to the operating system."""
        self.file.flush()


def cached_download(url: str, file: str, digest: str, num_bytes: int) -> Path:
    """Return a file from the user's cache, downloading it the first time.

    A download is written to a temporary file and moved into place only if the digest agrees.

    Args:
        url: the file's address.
        file: its name in the cache.
        digest: its SHA-256.
        num_bytes: its size.

    Raises:
        OSError: the download failed, was too large or has another digest, or something in the cache
            has the file's name but is not a file.
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
        if (folder / file).exists():  # pooch would read anything
            check_regular_file(folder / file)
        path = pooch.retrieve(
            url, known_hash=f"sha256:{digest}", fname=file, path=folder, downloader=fetch
        )
    except ValueError as error:  # also what pooch raises for another digest
        raise OSError(str(error)) from error
    except requests.RequestException as error:
        raise OSError(type(error).__name__) from error
    return Path(path)
