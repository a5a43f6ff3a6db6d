"""Everything that a fit needs, checked before anything is compiled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxrnn.batch import Batch
from jaxrnn.checks import check_like, check_positive_integer
from jaxrnn.fitting.data_checks import check_ids
from jaxrnn.fitting.dataset import Dataset, make_dataset
from jaxrnn.fitting.evaluation import check_targets, name_functions
from jaxrnn.fitting.history import History
from jaxrnn.fitting.plans import batch_lengths
from jaxrnn.language_model import LanguageModel
from jaxrnn.layers import Layer
from jaxrnn.layers.layer import check_model
from jaxrnn.losses import Loss, cross_entropy
from jaxrnn.training.gradient import row_axis
from jaxrnn.training.optimizer import optax_promotion
from jaxrnn.training.train_step import TrainState, check_params
from jaxrnn.typing import HostArray, Int, Key, Params


@dataclass(frozen=True)
class Fitting:
    """Everything that the epochs of a fit need, checked; made by `Fitting.of`."""

    model: Layer
    optimizer: optax.GradientTransformation
    functions: dict[str, Loss]
    """The loss and the metrics by name."""
    data: Dataset
    validation: Dataset | None
    lengths: Int[HostArray, "k"]
    """The lengths that batches may have."""
    batch_size: int
    epochs: int
    patience: int | None
    input_size: int
    """D, or V for token ids."""
    mesh: Mesh
    key: Key

    @classmethod
    def of(
        cls,
        model: Layer,
        optimizer: optax.GradientTransformation,
        inputs: Any,
        targets: Any,
        *,
        lengths: Any = None,
        mask: Any = None,
        loss: Loss = cross_entropy,
        batch_size: int = 32,
        epochs: int = 10,
        validation: tuple[Any, ...] | None = None,
        metrics: Sequence[Loss] = (),
        patience: int | None = None,
        input_size: int | None = None,
        devices: int = 1,
        key: Key,
    ) -> "Fitting":
        """Check the arguments of `fit`."""
        check_model("model", model)
        if not isinstance(optimizer, optax.GradientTransformation):
            hint = ""
            if hasattr(optimizer, "gradient_transformation"):  # such as optax.MultiSteps
                hint = ": pass its gradient_transformation()"
            raise TypeError(f"optimizer must be one of optax's, got {optimizer!r}{hint}")
        for name, number in {
            "batch_size": batch_size,
            "epochs": epochs,
            "devices": devices,
        }.items():
            check_positive_integer(name, number)
        if patience is not None:
            check_positive_integer("patience", patience)
            if validation is None:
                raise ValueError(f"patience needs validation data, got {patience} without any")
        if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
            raise TypeError(f"key must be a typed key, such as jax.random.key(0), got {key!r}")
        functions = name_functions(loss, metrics)
        data = make_dataset(inputs, targets, lengths, mask, per_step=model.per_step)
        if targets is None:
            raise TypeError("targets must be an array or a list, got None")
        check_targets("targets", model, data, functions)
        input_size = _input_size(model, data, input_size)
        check_ids("inputs", data, input_size)
        held_out = None
        if validation is not None:
            held_out = _held_out(model, validation, functions, data)
            check_ids("validation inputs", held_out, input_size)
        if len(jax.devices()) < devices:
            raise ValueError(f"devices must be at most {len(jax.devices())}, got {devices}")
        batch_size = min(batch_size, -(-len(data) // devices) * devices)
        if batch_size % devices:
            raise ValueError(
                f"batch_size must be a multiple of devices = {devices}, got {batch_size}"
            )
        return cls(
            model, optimizer, functions, data, held_out,
            batch_lengths(data.lengths, data.num_steps, batch_size), batch_size, epochs, patience,
            input_size, Mesh(np.array(jax.devices()[:devices]), ("data",)), key,
        )  # fmt: skip

    def init_state(self, params: Params | None) -> TrainState:
        """Return the state before the first step.  Sequences carry nothing from batch to batch."""
        params_key, steps_key = jax.random.split(jax.random.fold_in(self.key, 0))

        def draw() -> Params:
            return self.model.init(params_key, self.input_size)

        check_params(params)
        if params is None:
            params = draw()
        else:
            check_like("params", params, jax.eval_shape(draw))
            params = jax.tree.map(jnp.copy, params)  # training reuses the buffers
        self._check_outputs(params)
        with optax_promotion():
            opt_state = self.optimizer.init(params)
        step = jnp.zeros((), jnp.int32)
        return self.put_state(TrainState(params, opt_state, (), steps_key, step))

    def _check_outputs(self, params: Params) -> None:
        """Raise the losses' own errors, if outputs and targets do not fit, before compiling."""
        batch = self.data.batch(np.zeros(1, int), 1, int(self.lengths[0]))
        for name, function in self.functions.items():

            def run(params: Params, batch: Batch, function: Any = function) -> Any:
                outputs, _ = self.model.apply(params, batch.inputs, lengths=batch.lengths)
                return function(outputs, batch)

            result = jax.eval_shape(run, params, batch)
            if not (isinstance(result, tuple) and len(result) == 2):
                raise TypeError(f"{name} must return (sum, weight), got {result}")

    def put_state(self, state: TrainState) -> TrainState:
        """Put a state on all devices."""
        return jax.device_put(state, NamedSharding(self.mesh, P()))

    def put_batch(self, batch: Batch) -> Batch:
        """Split the rows of a batch over the devices."""
        num_steps, num_rows = batch.inputs.shape[:2]

        def put(array: Any) -> Any:
            axis = row_axis(array, num_steps, num_rows) if self.model.per_step else 0
            if array is batch.inputs:
                axis = 1
            spec = P(*(None,) * axis, "data")
            return jax.device_put(array, NamedSharding(self.mesh, spec))

        return jax.tree.map(put, batch)

    def is_over(self, history: History) -> bool:
        """Return whether all epochs are done, or the validation loss no longer improves."""
        done, best = len(history.rows), history.best_epoch
        if self.patience is not None and best is not None and done - best >= self.patience:
            return True
        return done >= self.epochs

    def seed(self, epoch: int) -> tuple[int, ...]:
        """Return the numbers that the order of an epoch is a function of."""
        bits = np.asarray(jax.random.key_data(self.key)).ravel()
        return (*(int(word) for word in bits), epoch)


def _held_out(model: Layer, validation: Any, functions: dict[str, Loss], data: Dataset) -> Dataset:
    if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
        raise TypeError(
            "validation must be (inputs, targets) or (inputs, targets, lengths), got"
            f" {type(validation).__name__}"
        )
    held_out = make_dataset(*validation, per_step=model.per_step, name="validation ")
    if held_out.width != data.width:
        raise ValueError(
            f"validation inputs must be {_describe(data)} like the training inputs, got"
            f" {_describe(held_out)}"
        )
    check_targets("validation targets", model, held_out, functions)
    return held_out


def _describe(data: Dataset) -> str:
    return "token ids" if data.width is None else f"vectors of size {data.width}"


def _input_size(model: Layer, data: Dataset, input_size: int | None) -> int:
    if data.width is not None:
        if input_size not in (None, data.width):
            raise ValueError(
                f"input_size must be {data.width}, that of the inputs, got {input_size}"
            )
        return data.width
    if input_size is None and isinstance(model, LanguageModel):
        return model.vocab_size
    if input_size is None:
        raise ValueError(
            "input_size must be given for inputs that are token ids: they are below it"
        )
    check_positive_integer("input_size", input_size)
    return input_size
