"""Product and gather, whose gradients are lowered by the number of devices, beside NumPy's."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxrnn.primitives import rows_times_kernel, take_rows

T, B, K, N = 6, 8, 4, 3
CLOSE = {"rtol": 1e-12, "atol": 1e-12}  # float64 sums of up to 48 terms of about 1


@pytest.fixture(params=[N, K, K + 1])
def arrays(x64, request):
    """Return rows, a kernel and a cotangent of their product, narrower or wider than the rows."""
    rng = np.random.default_rng(0)
    shapes = [(T, B, K), (K, request.param), (T, B, request.param)]
    return tuple(rng.normal(size=shape) for shape in shapes)


@pytest.fixture
def mesh():
    return jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))


def gradients(rows, kernel, cotangent):
    product, pull_back = jax.vjp(rows_times_kernel, rows, kernel)
    return product, *pull_back(cotangent)


def numpy_gradients(rows, kernel, cotangent):
    return rows @ kernel, cotangent @ kernel.T, np.einsum("tbk,tbn->kn", rows, cotangent)


def assert_close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def test_values_and_gradients_are_numpys_without_jit_and_with_it(arrays):
    assert_close(gradients(*arrays), numpy_gradients(*arrays))
    assert_close(jax.jit(gradients)(*arrays), numpy_gradients(*arrays))
    with jax.disable_jit():
        assert_close(gradients(*arrays), numpy_gradients(*arrays))


def test_derivatives_of_any_order_and_mode_are_those_of_jax(arrays):
    rows, kernel, _ = arrays
    at, tangent = (rows, kernel), (np.cos(rows), np.cos(kernel))

    def derivatives(product):
        def loss(at):
            return jnp.sin(product(*at)).sum()

        first = jax.grad(loss)

        @jax.jit
        def of_any_order(at, tangent):
            return [
                jax.jvp(loss, (at,), (tangent,)),
                jax.jvp(first, (at,), (tangent,)),
                jax.grad(lambda at: sum(jnp.sin(g).sum() for g in first(at)))(at),
                jax.hessian(loss)(at),
            ]

        return jax.tree.leaves(of_any_order(at, tangent))

    assert_close(derivatives(rows_times_kernel), derivatives(jnp.matmul))


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (2, 1)])
def test_vmap_over_either_or_both(arrays, axes):
    rows, kernel, cotangent = (np.stack([a, 2 * a, np.sin(a)]) for a in arrays)

    def at(array, axis):
        return array[0] if axis is None else np.moveaxis(array, 0, axis)

    mapped = jax.vmap(gradients, in_axes=(*axes, 0))
    ours = mapped(at(rows, axes[0]), at(kernel, axes[1]), cotangent)
    each = [
        numpy_gradients(
            rows[i if axes[0] is not None else 0],
            kernel[i if axes[1] is not None else 0],
            cotangent[i],
        )
        for i in range(3)
    ]
    assert_close(ours, [np.stack(parts) for parts in zip(*each, strict=True)])


@pytest.mark.parametrize("checked", [True, False])
def test_in_shard_map_the_kernels_gradient_is_summed_over_devices(arrays, mesh, checked):
    def own_part(rows, kernel, cotangent):
        _, d_rows, d_kernel = gradients(rows, kernel, cotangent)
        # Where JAX keeps track of what varies, it has put the sum in already.
        return d_rows, d_kernel if checked else lax.psum(d_kernel, "data")

    parts = P(None, "data")
    ours = jax.jit(
        jax.shard_map(
            own_part, mesh=mesh, in_specs=(parts, P(), parts), out_specs=(parts, P()),
            check_vma=checked,
        )
    )(*arrays)  # fmt: skip
    assert_close(ours, numpy_gradients(*arrays)[1:])


def test_one_device_merges_time_and_batch_and_several_do_not(arrays, mesh):
    """By the program's devices; eight are present either way."""

    def lowered(*given, platform="cpu"):
        text = jax.jit(gradients).trace(*given).lower(lowering_platforms=(platform,)).as_text()
        return sorted(re.findall(r"dot_general.*contracting_dims = (\[.*\]) x", text))

    rows, kernel, cotangent = arrays
    assert lowered(rows, kernel, cotangent) == ["[1]", "[2]", "[2]"]
    assert lowered(rows, kernel, cotangent, platform="cuda") == ["[0]", "[2]", "[2]"]
    split = NamedSharding(mesh, P(None, "data"))
    rows, cotangent = jax.device_put((rows, cotangent), split)
    assert lowered(rows, kernel, cotangent) == ["[0, 1]", "[2]", "[2]"]


def test_a_cpu_transposes_the_narrower_operand_of_the_kernels_gradient(arrays):
    text = jax.jit(gradients).lower(*arrays).as_text()
    width = arrays[1].shape[1]
    narrow, wide = sorted((K, width))
    assert f"(tensor<{narrow}x{T * B}xf64>, tensor<{T * B}x{wide}xf64>)" in text
    assert text.count("optimization_barrier") == 1 + (width < K)  # or XLA would transpose back


def test_a_gradient_of_any_number_of_rows_can_be_exported(arrays):
    time, batch = jax.export.symbolic_shape("t, b")
    shapes = [(time, batch, K), arrays[1].shape, (time, batch, arrays[1].shape[1])]
    symbols = [jax.ShapeDtypeStruct(shape, jnp.float64) for shape in shapes]
    exported = jax.export.export(jax.jit(gradients))(*symbols)
    assert_close(exported.call(*arrays), numpy_gradients(*arrays))


@pytest.mark.parametrize("sizes", [(0, 8, 4, 3), (6, 0, 4, 3), (6, 8, 0, 3), (6, 8, 4, 0)], ids=str)
def test_nothing_has_gradients_too(sizes, x64):
    num_steps, num_rows, *widths = sizes
    rows, cotangent = (np.ones((num_steps, num_rows, width)) for width in widths)
    arrays = rows, np.ones(widths), cotangent
    assert_close(jax.jit(gradients)(*arrays), numpy_gradients(*arrays))


def test_its_precision_is_that_of_the_moment_it_is_traced(arrays):
    with jax.default_matmul_precision("highest"):
        traced = jax.jit(gradients).trace(*arrays)
    products = [line for line in traced.lower().as_text().splitlines() if "dot_general" in line]
    assert len(products) == 3
    assert all("HIGHEST" in product for product in products)


IDS = np.array([[2, 0, 2], [3, 3, 2]])


def table_gradients(table, cotangent, ids):
    rows, pull_back = jax.vjp(lambda table: take_rows(table, ids), table)
    return rows, *pull_back(cotangent)


def test_gathered_rows_and_their_gradient_are_numpys(x64):
    rng = np.random.default_rng(0)
    table, cotangent = rng.normal(size=(3, 5, N)), rng.normal(size=(3, *IDS.shape, N))
    expected = np.zeros((3, 5, N))
    for i in range(3):
        np.add.at(expected[i], IDS, cotangent[i])
    mapped = jax.jit(jax.vmap(table_gradients, in_axes=(0, 0, None)))(table, cotangent, IDS)
    assert_close(mapped, (table[:, IDS], expected))
    with jax.disable_jit():
        assert_close(table_gradients(table[0], cotangent[0], IDS), (table[0][IDS], expected[0]))
    none = np.zeros((0, N)), np.zeros(0, int)
    assert_close(table_gradients(table[0], *none), (none[0], np.zeros((5, N))))


def test_the_hessian_through_gathered_rows_is_that_of_jax(x64):
    table = np.random.default_rng(0).normal(size=(5, N))

    def hessian(take):
        return jax.jit(jax.hessian(lambda table: jnp.sin(take(table)).prod(axis=0).sum()))(table)

    assert_close(hessian(lambda table: take_rows(table, IDS)), hessian(lambda table: table[IDS]))


def test_ids_on_several_devices_sum_into_one_table(mesh, x64):
    table, ids = np.ones((5, N)), np.arange(B)[None] % 5
    parts, counts = P(None, "data"), np.repeat([[2.0], [2.0], [2.0], [1.0], [1.0]], N, axis=1)

    def own_part(table, ids):
        return jax.grad(lambda table: take_rows(table, ids).sum())(table)

    mapped = jax.shard_map(own_part, mesh=mesh, in_specs=(P(), parts), out_specs=P())
    np.testing.assert_array_equal(jax.jit(mapped)(table, ids), counts)
    split = jax.device_put(ids, NamedSharding(mesh, parts))
    np.testing.assert_array_equal(jax.jit(own_part)(table, split), counts)
