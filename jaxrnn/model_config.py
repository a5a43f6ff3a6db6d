"""The configuration of a language model, as flags set it and checkpoints record it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

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


RATES = (
    "dropout",
    "input_dropout",
    "output_dropout",
    "embedding_dropout",
    "recurrent_dropout",
    "weight_drop",
    "zoneout",
)
"""The options of a configuration that are probabilities."""


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
    """Units of each recurrent layer; with tied embeddings the last one has embedding_size."""
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
    """Dropout rate in training: after every layer and, with an embedding, before the first
    (Zaremba et al. 2014, arXiv:1409.2329)."""
    input_dropout: float | None = None
    """Dropout rate before the first layer; None means `dropout`."""
    output_dropout: float | None = None
    """Dropout rate after the last layer; None means `dropout`."""
    variational_dropout: bool = False
    """Use one dropout mask for all steps of a window instead of one per step (Gal and Ghahramani
    2016, arXiv:1512.05287)."""
    embedding_dropout: float = 0.0
    """Rate at which tokens are dropped from the embedding in training (Gal and Ghahramani 2016)."""
    recurrent_dropout: float = 0.0
    """Rate at which units of the hidden state are dropped before the gates read it, the same ones
    at all steps of a window (Gal and Ghahramani 2016)."""
    weight_drop: float = 0.0
    """Rate at which recurrent weights are dropped, the same ones at all steps of a window (Merity
    et al. 2018, arXiv:1708.02182)."""
    zoneout: float = 0.0
    """Probability with which a unit of the carry keeps its value of the step before (Krueger et al.
    2017, arXiv:1606.01305)."""
    tie_embeddings: bool = False
    """Use the embedding's table for the output layer (Press and Wolf 2016, arXiv:1608.05859).  The
    last layer then has embedding_size units (Merity et al. 2018)."""
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
        for name in RATES:
            if (rate := getattr(self, name)) is not None:
                check_number(name, rate, low=0.0, high=1.0)
        check_choice("dtype", self.dtype, ("float32", "bfloat16"))
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.variational_dropout and not any(self.dropout_rates):
            raise ValueError("variational_dropout needs a dropout above 0, got 0")
        if self.embedding_size is None:
            for name in ("embedding_dropout", "input_dropout", "tie_embeddings"):
                if value := getattr(self, name):
                    raise ValueError(f"{name} {value} needs an embedding_size, got None")
        if self.tie_embeddings and self.num_layers == 1 and self.last_size != self.hidden_size:
            raise ValueError(
                "tie_embeddings of a single layer needs embedding_size = hidden_size ="
                f" {self.hidden_size}, got {self.embedding_size}"
            )
        recurrent(make_cell(self), **_noise(self))  # raises if the cell has nothing to disturb

    @property
    def dropout_rates(self) -> tuple[float, float, float]:
        """The dropout rates before, between and after the layers."""
        before, after = (
            self.dropout if rate is None else rate
            for rate in (self.input_dropout, self.output_dropout)
        )
        # Without an embedding the first layer reads ids, which have no units to drop.
        return 0.0 if self.embedding_size is None else before, self.dropout, after

    @property
    def last_size(self) -> int:
        """Units of the last layer."""
        if self.tie_embeddings and self.embedding_size is not None:
            return self.embedding_size
        return self.hidden_size


def make_cell(config: ModelConfig, size: int | None = None) -> BaseCell:
    """Make the recurrent cell of a configuration, with `hidden_size` units unless said otherwise.

    Examples:
        >>> import jaxrnn
        >>> from jaxrnn.model_config import make_cell
        >>> make_cell(jaxrnn.ModelConfig(cell="gru", hidden_size=8))
        gru(8)
    """
    return CELLS[config.cell](size or config.hidden_size)


def _noise(config: ModelConfig) -> dict[str, Any]:
    """Return the options of `recurrent` that disturb the recurrence in training."""
    names = ("recurrent_dropout", "weight_drop", "zoneout")
    return {name: getattr(config, name) for name in names}


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
    make_layer: Callable[..., Layer] = functools.partial(
        recurrent,
        kernel_init=kernel_init,
        bias_init=bias_init,
        forget_gate_bias=config.forget_gate_bias,
        dtype=None if config.dtype == "float32" else config.dtype,
        **_noise(config),
    )
    drop = functools.partial(dropout, variational=config.variational_dropout)
    before, between, after = config.dropout_rates
    layers: list[Layer] = [drop(before)] * (before > 0)
    for _ in range(config.num_layers - 1):
        layers += [make_layer(make_cell(config))] + [drop(between)] * (between > 0)
    layers.append(make_layer(make_cell(config, config.last_size)))
    return language_model(
        vocab_size,
        stack(layers),
        embedding_size=config.embedding_size,
        embedding_dropout=config.embedding_dropout,
        output_dropout=drop(after),
        tie_embeddings=config.tie_embeddings,
        kernel_init=kernel_init,
        bias_init=bias_init,
    )
