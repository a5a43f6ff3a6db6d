"""The way of the batches from the text to the devices."""

import dataclasses
import os
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from parallel.runs import IDS, V, make_config, make_model, run

import jaxrnn
from jaxrnn.runs.digests import params_digest
from jaxrnn.text.token_file import open_token_file, write_token_file
from jaxrnn.text.windows import cut_windows
from jaxrnn.training import feed
from jaxrnn.training.feed import chunks, prefetch_one
from jaxrnn.training.parallel import make_placement


def read_all(config, epoch=0, batch=0, ids=IDS):
    return list(read(config, epoch, batch, ids))


def read(config, epoch=0, batch=0, ids=IDS):
    text, plans = feed.Text(ids, V), config.plans(len(ids))
    return chunks(text, plans, make_placement(config), (epoch, batch), config.epochs)


WAYS = {
    "sequential": {"windows": "sequential"},
    "random": {"windows": "random"},
    "random lengths": {"windows": "sequential", "random_lengths": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tokens_per_chunk", [1, 300, 1 << 20])
def test_chunks_hold_the_batches_of_all_epochs(way, tokens_per_chunk, monkeypatch):
    monkeypatch.setattr(feed, "TOKENS_PER_CHUNK", tokens_per_chunk)
    config = make_config(**WAYS[way], epochs=3)
    longest = config.num_steps + 10 * config.random_lengths
    steps = np.arange(longest + 1)[:, None]
    found = {epoch: [] for epoch in range(3)}
    for chunk in read_all(config):
        count = chunk.last - chunk.first
        assert chunk.first == len(found[chunk.epoch])
        assert chunk.num_batches == len(config.plans(len(IDS)).plan(chunk.epoch))
        assert len(chunk.tokens) == len(chunk.starts) >= count
        lengths = np.full_like(chunk.starts, longest, int)
        if config.random_lengths:
            lengths = chunk.lengths
        else:
            assert chunk.lengths is None
        arrays = (chunk.tokens, chunk.starts, lengths)
        found[chunk.epoch] += zip(*(each[:count] for each in arrays), strict=True)
    for epoch, batches in found.items():
        windows = config.plans(len(IDS)).plan(epoch)[:]
        lengths = [longest] * len(batches) if windows.lengths is None else windows.lengths
        expected = zip(windows.offsets, windows.starts, lengths, strict=True)
        for (tokens, *others), (offsets, starts, length) in zip(batches, expected, strict=True):
            np.testing.assert_array_equal(tokens, IDS[offsets + steps])
            np.testing.assert_array_equal(others, [starts, [length] * config.batch_size])


def test_chunks_begin_anywhere(monkeypatch):
    monkeypatch.setattr(feed, "TOKENS_PER_CHUNK", 300)
    config = make_config(epochs=2)
    places = [(chunk.epoch, chunk.first, chunk.last) for chunk in read_all(config, 1, 5)]
    assert places[0][:2] == (1, 5)
    assert places[-1][2] == len(config.plans(len(IDS)).plan(1))
    assert read_all(config, 1, len(config.plans(len(IDS)).plan(1))) == []


def test_the_size_of_a_chunk_changes_no_bit(monkeypatch):
    digests = []
    for tokens_per_chunk in (1, 500, 1 << 20):
        monkeypatch.setattr(feed, "TOKENS_PER_CHUNK", tokens_per_chunk)
        digests.append(params_digest(run(make_model(), make_config())[1]))
    assert len(set(digests)) == 1


def test_each_device_reads_its_own_rows_only(monkeypatch):
    """By the offsets that are asked for."""
    asked = []
    original = feed.cut_windows
    monkeypatch.setattr(
        feed, "cut_windows", lambda ids, at, n: (asked.append(at), original(ids, at, n))[1]
    )
    for parallel in ("jit", "pmap"):
        config = make_config(epochs=1, devices=4, parallel=parallel)
        read_all(config)
        offsets = config.plans(len(IDS)).plan(0)[:].offsets
        parts = sorted(asked, key=lambda part: part[0, 0])
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), offsets)
        assert len(parts) == 4
        asked.clear()


def test_an_id_that_is_no_token_is_an_error_wherever_it_comes(monkeypatch):
    monkeypatch.setattr(feed, "TOKENS_PER_CHUNK", 300)
    ids = IDS.copy()
    ids[1200:] = V
    with pytest.raises(ValueError, match=r"ids must lie in 0\.\.9, got 10"):
        run(make_model(), make_config(), ids=ids)


def test_one_ahead_gives_all_in_order_and_errors_in_their_place():
    def items():
        yield from range(3)
        raise KeyError("the fourth")

    given = prefetch_one(items())
    assert [next(given) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="the fourth"):
        next(given)
    assert list(prefetch_one(iter([]))) == []


def test_the_next_is_made_while_this_one_is_in_use():
    made = [threading.Event() for _ in range(3)]

    def items():
        for event in made:
            event.set()
            yield event

    given = prefetch_one(items())
    next(given)
    assert made[1].wait(timeout=60)
    assert not made[2].is_set()
    given.close()


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_reading_a_mapped_text_all_over_leaves_none_of_it_resident(tmp_path):
    num_ids = 60_000_000
    path = tmp_path / "ids.npy"
    np.save(path, np.zeros(num_ids, np.uint16))
    config = jaxrnn.TrainConfig(batch_size=1000, num_steps=35, epochs=1)
    ids = np.load(path, mmap_mode="r")
    parts = read(config, ids=ids)
    next(parts)
    before = resident_bytes()
    for _ in zip(range(20), parts, strict=False):
        pass
    assert resident_bytes() - before < 30e6  # of 120 MB, of which 20 chunks touch all pages
    windows = config.plans(num_ids).plan(0)[:600]
    cut_windows(ids, windows.offsets, 36)  # in the mapping itself, they stay
    assert resident_bytes() - before > 60e6


def test_a_text_mapped_into_memory_trains_to_the_same_bits(tmp_path):
    text = "".join(chr(ord("a") + i) for i in IDS)
    tokens = write_token_file(lambda: [text], tmp_path / "tokens")
    mapped = open_token_file(tmp_path / "tokens").ids(1400)
    in_memory = np.array(mapped, np.int32)
    courses = [run(make_model(), make_config("random"), ids=ids) for ids in (mapped, in_memory)]
    assert params_digest(courses[0][1]) == params_digest(courses[1][1])
    config = dataclasses.replace(make_config(), epochs=1)
    part = tokens.ids()[100:]  # a slice of a mapping does not know where it begins
    for ours, theirs in zip(read_all(config, ids=part), read_all(config, ids=np.array(part)),
                            strict=True):  # fmt: skip
        np.testing.assert_array_equal(ours.tokens, theirs.tokens)
    assert jax.tree.leaves(courses[0][2].params)


def test_what_was_changed_in_memory_alone_is_what_trains(tmp_path):
    """A mapping that copies on write differs from its file."""
    np.save(tmp_path / "ids.npy", IDS)
    changed = np.load(tmp_path / "ids.npy", mmap_mode="c")
    changed[:] = V - 1 - changed
    (ours, *_), (theirs, *_) = (read_all(make_config(), ids=ids) for ids in (changed, V - 1 - IDS))
    np.testing.assert_array_equal(ours.tokens, theirs.tokens)
