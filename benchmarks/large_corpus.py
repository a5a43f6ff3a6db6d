"""Memory of training on a huge text, by default of a thousand million tokens.

    python -m benchmarks.large_corpus

Generates the ids (two bytes each) in a temporary folder, trains 100 steps on random and on
sequential windows, and prints how long planning an epoch takes, and by how much the resident memory
exceeds that of the same training on a small text.
"""

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path
from typing import Literal

import jax
import numpy as np

import jaxrnn
from jaxrnn.text.token_file import TokenFile, open_token_file, write_token_file

ALPHABET = "abcdefghijklmnopqrstuvwxyz "
PIECE = 1 << 24
BATCHES_PER_PART = 10_000


def generate(folder: Path, num_ids: int) -> TokenFile:
    """Write a token file of random letters."""

    def pieces() -> itertools.chain[str]:
        letters = np.frombuffer(ALPHABET.encode(), np.uint8)
        piece = letters[np.random.default_rng(0).integers(0, len(letters), PIECE)].tobytes()
        text = piece.decode()
        num_pieces, remainder = divmod(num_ids, PIECE)
        return itertools.chain(itertools.repeat(text, num_pieces), [text[:remainder]])

    write_token_file(pieces, folder)
    return open_token_file(folder)


def resident_bytes() -> int:
    """Return the current resident memory of this process, including mapped files."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def train(tokens: TokenFile, windows: Literal["random", "sequential"], steps: int) -> int:
    """Train for `steps` steps; return the largest resident memory after any compiled call."""
    config = jaxrnn.TrainConfig(windows=windows, epochs=1, learning_rate=0.5, max_grad_norm=1.0)
    size = len(tokens.vocabulary)
    model = jaxrnn.build_language_model(jaxrnn.ModelConfig(cell="gru", hidden_size=128), size)
    optimizer = config.make_optimizer()
    state = jaxrnn.init_state(model, optimizer, size, config.batch_size, jax.random.key(0))
    most = 0
    for _, progress in jaxrnn.train(model, optimizer, config, tokens.ids(), state):
        most = max(most, resident_bytes())
        if progress.batch >= steps:
            break
    return most


def seconds_to_plan(num_ids: int) -> float:
    """Return the seconds to plan all windows of an epoch, part by part."""
    began = time.perf_counter()
    plan = jaxrnn.TrainConfig().plans(num_ids).plan(0)
    for first in range(0, len(plan), BATCHES_PER_PART):
        plan[first : first + BATCHES_PER_PART]
    return time.perf_counter() - began


def main() -> None:
    """Generate the texts, train on them and print the growth of memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=1_000_000_000)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = generate(Path(folder) / "small", 4_000_000)
        began = time.perf_counter()
        large = generate(Path(folder) / "large", options.tokens)
        print(f"{large.num_ids:,} tokens, tokenized in {time.perf_counter() - began:.0f} s")
        print(f"the plan of an epoch, part by part: {seconds_to_plan(large.num_ids):.1f} s")
        ways: tuple[Literal["random", "sequential"], ...] = ("random", "sequential")
        for windows in ways:
            before = train(small, windows, options.steps)
            growth = train(large, windows, options.steps) - before
            print(
                f"{options.steps} steps of {windows} windows: {before / 1e6:.0f} MB resident on"
                f" {small.num_ids:,} tokens, {growth / 1e6:+.0f} MB on {large.num_ids:,}",
                flush=True,
            )


if __name__ == "__main__":
    main()
