"""Native CPU code for a whole sequence, generated from a cell's equations."""

import functools
import jax
from jax.interpreters import mlir
from jaxrnn.primitives import _on_one_device
from jaxrnn.recurrence import equations
from jaxrnn.recurrence.native import kernel
from jaxrnn.recurrence.native.source import cell_source
from jaxrnn.recurrence.native.build import build

registered=set()
import os
@functools.lru_cache
def get(cell):
    e=equations.trace(cell)
    carry=jax.eval_shape(lambda: cell.initial_carry(1)); p=jax.eval_shape(lambda: cell.init_params(jax.random.key(0)))
    digest, lib = build(cell_source(e,len(cell.gates),len(jax.tree.leaves(carry)),kernel.hidden_position(carry),len(jax.tree.leaves(p))))
    if digest not in registered:
        registered.add(digest)
        for n in ("forward","backward"):
            jax.ffi.register_ffi_target(f"jaxrnn_{digest}_{n}", jax.ffi.pycapsule(getattr(lib,n)), platform="cpu")
    import ctypes
    for n in ("forward","backward"):
        f=getattr(lib,f"{n}_packed_size"); f.restype=ctypes.c_int64; f.argtypes=[ctypes.c_int64]
    return kernel.Kernel(e,f"jaxrnn_{digest}",lib)

def run(call, kernel_, operands):
    return jax.tree.leaves(kernel.run(kernel_, call.options, *jax.tree.unflatten(call.structure, operands)))
def run_and_linearize(call, kernel_, operands):
    return jax.tree.leaves(kernel.run_and_linearize(kernel_, call.options, *jax.tree.unflatten(call.structure, operands)))
def run_cotangent(call, kernel_, operands):
    known, cts = jax.tree.unflatten(call.structure, operands)
    tangent, linear = call.tangent
    it=iter(known)
    args=jax.tree.unflatten(tangent.structure, [object() if l else next(it) for l in linear])
    st=jax.tree.structure(args[-2]); n=st.num_leaves
    d_last=st.unflatten(cts[-n:]); d_kept=st.unflatten(cts[:n]) if call.options.return_carries else cts[0]
    out=jax.tree.leaves(kernel.run_cotangent(kernel_, tangent.options, args, (d_kept,d_last)))
    ll=linear[-len(out):]
    return [o for o,l in zip(out,ll,strict=True) if l]
def find(loop, call, context):
    if os.environ.get("JAXRNN_NATIVE")=="0" or not _on_one_device(context): return None
    try: k=get(call.options.cell)
    except equations.NotPerUnitError: return None
    fn=lambda *operands: loop(call,k,operands)
    got=jax.eval_shape(fn,*[jax.ShapeDtypeStruct(a.shape,a.dtype) for a in context.avals_in])
    want=[(a.shape,a.dtype) for a in context.avals_out]
    assert want==[(a.shape,a.dtype) for a in got],(want,got)
    return fn
