"""Accelerators to compile for without having one.

XLA's TPU compiler comes with `libtpu` and knows the chips by name.  Its GPU compiler comes with
JAX's CUDA plugin and reads what it would ask the driver from `targets/*.txtpb`, which state the
manufacturer's figures in XLA's format (`GpuTargetConfigProto`).
"""

import os
from pathlib import Path
from typing import NamedTuple

# Before JAX starts: this process computes nothing, and libtpu must not look for a TPU.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-8")

import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

CONFIGURATIONS = Path(__file__).parent / "targets"


class Target(NamedTuple):
    """A kind of accelerator."""

    name: str
    platform: str
    """As JAX names it: "tpu" or "cuda"."""
    topologies: dict[int, str]
    """How many chips lie where, by their number: a name that XLA knows."""

    @property
    def compiler_options(self) -> dict[str, str | bool] | None:
        """Options of XLA: without a device nothing is tuned, so Triton would only guess."""
        return {"xla_gpu_enable_triton_gemm": False} if self.platform == "cuda" else None

    def mesh(self, num_devices: int) -> Mesh:
        """Return a mesh of chips that need not exist, with the axis "data"."""
        topology = self.topologies[num_devices]
        if self.platform == "cuda":
            configuration = (CONFIGURATIONS / f"{self.name.lower()}.txtpb").read_text("utf-8")
            described = topologies.get_topology_desc(
                platform="cuda", target_config=configuration, topology=topology
            )
        else:
            only = {"chips_per_host_bounds": [1, 1, 1]} if topology.endswith("1x1") else {}
            described = topologies.get_topology_desc(platform="tpu", topology_name=topology, **only)
        return Mesh(np.array(described.devices[:num_devices]), ("data",))


TARGETS = {
    target.name: target
    for target in (
        Target("v5e", "tpu", {1: "v5e:1x1", 8: "v5e:2x4"}),
        Target("v5p", "tpu", {1: "v5p:2x2x2", 8: "v5p:2x2x2"}),
        Target("H100", "cuda", {1: "1x1x1", 8: "1x1x8"}),
        Target("A100", "cuda", {1: "1x1x1", 8: "1x1x8"}),
    )
}
