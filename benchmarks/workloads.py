"""Workloads: language models with the sizes of "Dive into Deep Learning" and Zaremba et al."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Step = Callable[[], object]
"""A function to time, which does its work once and waits until it is done."""


class Workload(NamedTuple):
    """A language model and a batch; every peer trains it with clipping and SGD."""

    name: str
    cell: str
    """One of `jaxrnn.model_config.CELLS`, or of `benchmarks.peers.own_cells.OWN_CELLS`."""
    hidden_size: int
    num_layers: int
    vocab_size: int
    batch_size: int
    num_steps: int
    embedding_size: int | None = None
    """Size of the embedding; None feeds one-hot rows."""

    @property
    def input_sizes(self) -> list[int]:
        """D of each recurrent layer."""
        first = self.embedding_size or self.vocab_size
        return [first] + [self.hidden_size] * (self.num_layers - 1)


WORKLOADS = (
    Workload("RNN 256, V 1027", "rnn", 256, 1, 1027, 32, 35),
    Workload("RNN 512, V 28", "rnn", 512, 1, 28, 32, 35),
    Workload("GRU 256, V 28", "gru", 256, 1, 28, 32, 35),
    Workload("2 x LSTM 256, V 28", "lstm", 256, 2, 28, 32, 35),
    Workload("2 x LSTM 200, V 10,000, embedding", "lstm", 200, 2, 10_000, 20, 20, 200),
)

ONE_HOT = Workload("2 x LSTM 200, V 10,000, one-hot", "lstm", 200, 2, 10_000, 20, 20)
"""The last workload with one-hot input, for peers without an embedding; has its own table."""

LEARNING_RATE = 0.1
MAX_GRAD_NORM = 1.0


def batch_of(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Return random (inputs, targets), int32 `[T, B]`."""
    shape = (workload.num_steps + 1, workload.batch_size)
    ids = np.random.default_rng(0).integers(0, workload.vocab_size, shape).astype(np.int32)
    return ids[:-1], ids[1:]
