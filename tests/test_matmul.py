"""Products with a matrix, beside NumPy's."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxrnn
from jaxrnn.matmul import gather_row_parts, gather_rows


def test_values_and_gradients_are_numpys():
    rows = jax.random.normal(jax.random.key(0), (6, 5, 4))
    kernel = jax.random.normal(jax.random.key(1), (4, 3))
    cotangent = jax.random.normal(jax.random.key(2), (6, 5, 3))
    product, pull_back = jax.vjp(jaxrnn.matmul, rows, kernel)
    d_rows, d_kernel = pull_back(cotangent)
    close = {"rtol": 0, "atol": 2e-5}  # float32 sums of 30 terms of about 1
    np.testing.assert_allclose(product, np.asarray(rows) @ np.asarray(kernel), **close)
    np.testing.assert_allclose(d_rows, np.asarray(cotangent) @ np.asarray(kernel).T, **close)
    np.testing.assert_allclose(d_kernel, np.einsum("tbk,tbn->kn", rows, cotangent), **close)


def test_rows_of_a_table_are_those_of_the_ids_and_nan_out_of_range():
    """Under jit, where no check can see the ids."""
    table = np.arange(400, dtype=np.float32).reshape(200, 2)
    ids = np.array([[0, 199], [200, -1], [7, 7]], np.int32)
    rows = np.asarray(jax.jit(gather_rows)(table, ids))
    assert np.isnan(rows[1]).all()
    np.testing.assert_array_equal(rows[::2], table[ids[::2]])


def test_parts_of_rows_and_their_derivatives_are_numpys():
    """Rows that come several times add up."""
    rng = np.random.default_rng(0)
    table, d_table = (rng.normal(size=(100, 6)).astype(np.float32) for _ in range(2))
    ids = rng.integers(50, 100, (7, 30)).astype(np.int32)
    cotangents = rng.normal(size=(3, 7, 30, 2)).astype(np.float32)

    def parts(table):
        return gather_row_parts(table, ids, 3)

    for ours, theirs in [
        (parts(table), table[ids]),
        (jax.jvp(parts, (table,), (d_table,))[1], d_table[ids]),
    ]:
        np.testing.assert_array_equal(np.concatenate(ours, axis=-1), theirs)
    expected = np.zeros_like(table)
    np.add.at(expected, ids, np.concatenate(cotangents, axis=-1))
    _, pull_back = jax.vjp(parts, table)
    (gradient,) = pull_back([jnp.asarray(part) for part in cotangents])
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5)  # sums of about ten numbers


def test_parts_of_a_row_out_of_range_are_nan_and_have_no_gradient():
    table, ids = jnp.ones((4, 6)), np.array([1, 4, -1])

    @jax.jit
    def parts(table, ids):
        return gather_row_parts(table, ids, 2)

    def total(table):
        return sum(jnp.where(jnp.isnan(p), 0.0, p).sum() for p in parts(table, ids))

    assert all(np.isnan(part).any(axis=1).tolist() == [False, True, True]
               for part in parts(table, ids))  # fmt: skip
    expected = np.zeros((4, 6))
    expected[1] = 1.0
    np.testing.assert_array_equal(jax.grad(total)(table), expected)


def test_rows_on_several_devices_stay_there():
    """A batch in parts on four devices: gradients are summed over them, no rows are gathered."""
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,))
    layer = jaxrnn.recurrent(jaxrnn.lstm(8))
    params = layer.init(jax.random.key(0), 4)
    inputs = jax.device_put(jnp.ones((20, 8, 4)), NamedSharding(mesh, PartitionSpec(None, "batch")))

    def loss(params, inputs):
        return layer.apply(params, inputs, layer.initial_carry(params, 8))[0].sum()

    program = jax.jit(jax.grad(loss)).lower(params, inputs).compile().as_text()
    assert "all-reduce" in program
    assert "all-gather" not in program
    assert "all-to-all" not in program
