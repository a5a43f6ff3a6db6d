"""PyTorch's weights from a module, a state dict or a file, and the module inferred from them."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxrnn.interop.optional import import_optional
from jaxrnn.interop.torch.architecture import Architecture
from jaxrnn.interop.weights import check_entries

_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<kind>(weight|bias)_(ih|hh)|weight_hr)"
    r"(?P<suffix>_l(?P<layer>\d{1,3})(?P<direction>_reverse)?)?"
)
"""The name of a weight; weights of a single-step cell have no suffix."""

_ONE_BY_ONE = ": port its recurrent modules one by one and put their layers in a jaxrnn.stack"


def read(source: Any, prefix: str) -> tuple[str, dict[str, Any]]:
    """Return the source's name for error messages, and its weights by name without the prefix."""
    if isinstance(source, str | os.PathLike):
        return str(source), _read_file(Path(source), prefix)
    label, weights = "the state dict", source
    if not isinstance(source, Mapping):
        _check_module(source)
        if prefix:
            raise ValueError("prefix is for a state dict or a file: pass the inner module itself")
        label, weights = f"this {type(source).__name__}", source.state_dict()
    by_name = {str(name): weight for name, weight in weights.items()}
    own_names = _own_names(label, by_name, prefix)
    return label, {own: by_name[name] for name, own in own_names.items()}


def infer(source: str, weights: Mapping[str, Any], nonlinearity: str) -> Architecture:
    """Infer the module from its weights, and check all of their names and shapes."""
    for name, weight in weights.items():
        if not hasattr(weight, "shape"):
            raise TypeError(f"{name} must be a tensor or an array, got {type(weight).__name__}")
    matches = [match for name in weights if (match := _NAME.fullmatch(name))]
    known = [match for match in matches if match["suffix"] and not match["prefix"]]
    architecture = Architecture(
        mode="LSTM",
        input_size=1,
        hidden_size=1,
        num_layers=1 + max(int(match["layer"]) for match in known),
        bidirectional=any(match["direction"] for match in known),
        projection_size=1 if any(match["kind"] == "weight_hr" for match in known) else None,
    )
    bias = any(match["kind"].startswith("bias") for match in known)
    if not {"weight_ih_l0", "weight_hh_l0"} <= weights.keys():  # which have the sizes
        names = architecture.weight_shapes(bias=bias)
        shapes = {name: weights[name].shape if name in weights else () for name in names}
        check_entries(source, weights, shapes)
    architecture = _with_sizes(architecture, weights, nonlinearity)
    check_entries(source, weights, architecture.weight_shapes(bias=bias))
    return architecture


def _with_sizes(
    architecture: Architecture, weights: Mapping[str, Any], nonlinearity: str
) -> Architecture:
    """Set the sizes from the first layer's matrices, [G*H, D] and [G*H, H or P]."""
    for name in ("weight_ih_l0", "weight_hh_l0"):
        if len(weights[name].shape) != 2:
            raise ValueError(f"{name} must be a matrix, got shape {tuple(weights[name].shape)}")
    architecture = architecture._replace(input_size=weights["weight_ih_l0"].shape[1])
    rows, columns = weights["weight_hh_l0"].shape
    if architecture.projection_size is not None:
        return architecture._replace(hidden_size=max(rows // 4, 1), projection_size=max(columns, 1))
    modes = {1: f"RNN_{nonlinearity.upper()}", 3: "GRU", 4: "LSTM"}
    blocks = rows / columns if columns else 0
    if blocks not in modes:
        raise ValueError(
            "weight_hh_l0 must have 1 (RNN), 3 (GRU) or 4 (LSTM) times as many rows as columns, got"
            f" shape {(rows, columns)}"
        )
    return architecture._replace(mode=modes[int(blocks)], hidden_size=columns)


def _check_module(source: Any) -> None:
    nn = import_optional("torch", "a source that is neither a mapping nor a path").nn
    recurrent = (nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell)
    if not isinstance(source, recurrent):
        inner = source.modules() if isinstance(source, nn.Module) else ()
        holds_some = any(isinstance(module, recurrent) for module in inner)
        raise TypeError(
            "source must be an nn.RNN, nn.GRU or nn.LSTM, or a single-step nn.RNNCell, nn.GRUCell"
            " or nn.LSTMCell, or a state dict, or the path of a .safetensors file, got"
            f" {type(source).__module__}.{type(source).__qualname__}"
            f"{_ONE_BY_ONE if holds_some else ''}"
        )


def _read_file(path: Path, prefix: str) -> dict[str, Any]:
    """Read the tensors under the prefix from a safetensors file, and no others."""
    if path.suffix != ".safetensors":
        raise ValueError(
            f"source must be a .safetensors file, got {path}: PyTorch's other formats are pickles,"
            " which can run any code when they are read.  If you trust it, pass the state dict"
            " that torch.load(path, weights_only=True) returns"
        )
    safetensors = import_optional("safetensors", "a .safetensors file")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            stored = _stored_names(file)
            own_names = _own_names(str(path), stored, prefix)
            return {own: file.get_tensor(stored[name]) for name, own in own_names.items()}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or is damaged: {error}") from error


def _stored_names(file: Any) -> dict[str, str]:
    """Map the name of each tensor to the name that its values are stored under.

    `safetensors.torch.save_model` stores tensors that share memory only once, and notes in the
    file's metadata under which name.
    """
    names = list(file.keys())
    stored = dict(zip(names, names, strict=True))
    metadata = file.metadata() or {}
    return {name: kept for name, kept in metadata.items() if kept in stored} | stored


def _own_names(source: str, names: Iterable[str], prefix: str) -> dict[str, str]:
    """Map the names under the prefix to those of an nn.RNN, nn.GRU or nn.LSTM."""
    names = list(names)
    matches = [match for name in names if (match := _NAME.fullmatch(name))]
    prefixes = sorted({match["prefix"] for match in matches})
    if not prefixes:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise ValueError(
            f"{source} holds no weights of a recurrent module, such as weight_ih_l0, got {shown}"
        )
    if prefix not in prefixes:
        choices = ", ".join(map(repr, prefixes))
        raise ValueError(f"prefix must be one of {choices} for {source}, got {prefix!r}")
    own = {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    under = [match for match in matches if match["prefix"] == prefix]
    if not any(match["suffix"] for match in under):  # a cell acts as a module of one layer
        own |= {match[0]: f"{match['kind']}_l0" for match in under}
    return own
