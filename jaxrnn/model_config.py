"""The configuration of a language model, as flags set it and checkpoints record it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import jaxrnn.cells
from jaxrnn.cells import BaseCell
from jaxrnn.checks import (
    FLOAT32_MAX,
    check_choice,
    check_number,
    check_positive_integer,
)
from jaxrnn.language_model import LanguageModel, language_model
from jaxrnn.layers import Layer, dropout, recurrent, stack
from jaxrnn.layers.initializers import SymmetricUniform
from jaxrnn.typing import Initializer

MAX_LAYERS = 1000
"""The largest number of layers; each is compiled separately, which takes about a second."""

CellName = Literal[
    "rnn",
    "gru",
    "lstm",
    "peephole_lstm",
    "cifg",
    "layer_norm_lstm",
    "layer_norm_gru",
    "mgu",
    "indrnn",
    "slstm",
    "min_gru",
    "min_lstm",
    "lru",
    "s5",
    "rg_lru",
    "qrnn",
    "sru",
    "ema",
]
CELLS: dict[str, Callable[[int], BaseCell]] = {
    name: getattr(jaxrnn.cells, name) for name in get_args(CellName)
}
"""The factories of the cells, by name."""


@dataclass(frozen=True)
class ModelConfig:
    """The configuration of a language model, which `build_language_model` builds.

    Examples:
        >>> import jaxrnn
        >>> config = jaxrnn.ModelConfig(cell="lstm", num_layers=2, dropout=0.5)
        >>> config.hidden_size, config.init
        (256, 'normal')
    """

    cell: CellName = "rnn"
    """The recurrent cell; https://jaxrnn.github.io/jaxrnn/cells/ compares them."""
    num_layers: int = 1
    """Number of recurrent layers."""
    hidden_size: int = 256
    """Units of each recurrent layer."""
    embedding_size: int | None = None
    """Width of a learned embedding; None for one-hot input, as in the book."""
    init: Literal["normal", "uniform", "orthogonal"] = "normal"
    """Initial weights: normal, N(0, 0.01^2) with zero biases, as in the book; uniform, +-1/sqrt(H)
    for weights and biases, as in PyTorch; orthogonal, with zero biases."""
    init_scale: float | None = None
    """Draw all uniform initial weights from +-init_scale instead of +-1/sqrt(H)."""
    forget_gate_bias: float | None = None
    """Initial bias of the forget gates, where the cell has some; None leaves it to `init`."""
    dropout: float = 0.0
    """Dropout rate in training: after every layer and, with an embedding, before the first."""
    variational_dropout: bool = False
    """Use one dropout mask for all steps of a window instead of one per step."""
    embedding_dropout: float = 0.0
    """Rate at which tokens are dropped from the embedding in training."""
    tie_embeddings: bool = False
    """Use the embedding's table for the output layer; its width must be hidden_size."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of matrix products and layer outputs; everything else is float32."""

    def __post_init__(self) -> None:
        if isinstance(self.cell, BaseCell):
            raise TypeError(
                f"cell must be a name, got the cell {self.cell}: jaxrnn.language_model(V,"
                f" jaxrnn.recurrent({self.cell})) is a model with it"
            )
        check_choice("cell", self.cell, tuple(CELLS))
        check_positive_integer("num_layers", self.num_layers, MAX_LAYERS)
        check_positive_integer("hidden_size", self.hidden_size)
        if self.embedding_size is not None:
            check_positive_integer("embedding_size", self.embedding_size)
        check_choice("init", self.init, ("normal", "uniform", "orthogonal"))
        if self.init_scale is not None:
            check_number("init_scale", self.init_scale, low=0.0, high=FLOAT32_MAX)
            if self.init != "uniform":
                raise ValueError(f"init_scale needs init uniform, got {self.init}")
        if self.forget_gate_bias is not None and "forget" not in make_cell(self).gates:
            raise ValueError(
                f"forget_gate_bias needs a cell with a forget gate, such as lstm, got {self.cell}"
            )
        check_number("dropout", self.dropout, low=0.0, high=1.0)
        check_number("embedding_dropout", self.embedding_dropout, low=0.0, high=1.0)
        check_choice("dtype", self.dtype, ("float32", "bfloat16"))
        if self.variational_dropout and self.dropout == 0:
            raise ValueError("variational_dropout needs a dropout above 0, got 0")
        if self.embedding_dropout > 0 and self.embedding_size is None:
            raise ValueError("embedding_dropout needs an embedding_size, got None")
        if self.tie_embeddings and self.embedding_size != self.hidden_size:
            raise ValueError(
                f"tie_embeddings needs embedding_size = hidden_size = {self.hidden_size}, got"
                f" {self.embedding_size}"
            )


def make_cell(config: ModelConfig) -> BaseCell:
    """Make the recurrent cell of a configuration.

    Examples:
        >>> import jaxrnn
        >>> from jaxrnn.model_config import make_cell
        >>> make_cell(jaxrnn.ModelConfig(cell="gru", hidden_size=8))
        gru(8)
    """
    return CELLS[config.cell](config.hidden_size)


def build_language_model(config: ModelConfig, vocab_size: int) -> LanguageModel:
    """Build the language model that a configuration describes.

    Examples:
        >>> import jaxrnn
        >>> config = jaxrnn.ModelConfig(cell="gru", hidden_size=8)
        >>> jaxrnn.build_language_model(config, vocab_size=28).body
        Stack(Recurrent(gru(8), kernel_init='normal', bias_init='zeros'))
    """
    kernel_init: str | Initializer = config.init
    if config.init_scale is not None:
        kernel_init = SymmetricUniform(config.init_scale)
    bias_init = kernel_init if config.init == "uniform" else "zeros"
    layer = recurrent(
        make_cell(config),
        kernel_init=kernel_init,
        bias_init=bias_init,
        forget_gate_bias=config.forget_gate_bias,
        dtype=None if config.dtype == "float32" else config.dtype,
    )
    layers: list[Layer] = [layer] * config.num_layers
    if config.dropout > 0:
        drop = dropout(config.dropout, variational=config.variational_dropout)
        # Without an embedding the first layer reads ids, which have no units to drop.
        first: list[Layer] = [] if config.embedding_size is None else [drop]
        layers = first + [each for layer in layers for each in (layer, drop)]
    return language_model(
        vocab_size,
        stack(layers),
        embedding_size=config.embedding_size,
        embedding_dropout=config.embedding_dropout,
        tie_embeddings=config.tie_embeddings,
        kernel_init=kernel_init,
        bias_init=bias_init,
    )
