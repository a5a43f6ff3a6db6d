"""Slow oracles: loops over rows and steps in NumPy; the equations are in `cell_oracles.py`."""

import jax
import numpy as np
from cell_oracles import READOUTS, STEPS, sigmoid

__all__ = ["STEPS", "network", "sigmoid", "unroll"]


def dense(w_hh):
    """The recurrent weights as a matrix [H, G*H]: each head reads only its own slice."""
    if not hasattr(w_hh, "blocks"):
        return w_hh
    heads, width, gates, _ = w_hh.blocks.shape
    matrix = np.zeros((heads, width, gates, heads, width), w_hh.blocks.dtype)
    for head in range(heads):
        matrix[head, :, :, head] = w_hh.blocks[head]
    return matrix.reshape(heads * width, gates * heads * width)


def unroll(
    name,
    params,
    inputs,
    carry,
    lengths=None,
    resets=None,
    reset_carry=None,
    reverse=False,
    zoneout=None,
):
    """One row after the other, one step after the other.

    `carry` and `reset_carry` are dictionaries of arrays [B, H]; ids [T, B] become one-hot rows.
    `zoneout` says how much of each array of the carry keeps its value: numbers, or masks [T, B, H].
    """
    step, readout = STEPS[name], READOUTS.get(name)
    params, inputs, carry, reset_carry = jax.tree.map(
        np.asarray, (params, inputs, carry, reset_carry)
    )
    w_ih, b_ih, b_hh, own = params.w_ih, params.b_ih, params.b_hh, params.cell
    w_hh, size = dense(params.w_hh), carry["hidden"].shape[1]
    num_gates = w_ih.shape[1] // size

    def gates_of(hidden):
        return np.split(hidden @ w_hh + (0 if b_hh is None else b_hh), num_gates)

    if np.issubdtype(inputs.dtype, np.integer):
        inputs = np.eye(w_ih.shape[0])[inputs]
    num_steps, batch_size = inputs.shape[:2]
    leaves = jax.tree.leaves((params, inputs, carry, reset_carry))
    dtype = np.result_type(np.float64, *(leaf.dtype for leaf in leaves))
    outputs = np.zeros((num_steps, batch_size, size), dtype)
    last = {field: value.astype(dtype) for field, value in carry.items()}
    for b in range(batch_size):
        length = num_steps if lengths is None else lengths[b]
        state = {field: value[b] for field, value in carry.items()}
        for t in reversed(range(length)) if reverse else range(length):
            boundary = t + 1 if reverse else t  # resets[t] lies between t - 1 and t
            if resets is not None and boundary < length and resets[boundary, b]:
                state = {field: value[b] for field, value in reset_carry.items()}
            input_gates = np.split(inputs[t, b] @ w_ih + b_ih, num_gates)
            new = step(own, input_gates, gates_of, state)
            for field, kept in (zoneout or {}).items():
                if field in new:
                    share = kept if np.ndim(kept) == 0 else kept[t, b]
                    new[field] = share * state[field] + (1 - share) * new[field]
            if readout is not None:
                new["hidden"] = readout(own, input_gates, new)
            state = new
            outputs[t, b] = state["hidden"]
        for field in last:
            last[field][b] = state[field]
    return outputs, last


def directions(own):
    """The entries of a layer's params or carry: forward and backward, or the only one."""
    return (own.forward, own.backward) if hasattr(own, "forward") else (own,)


def network(name, params, inputs, carry, reset_carry, reverse=(), **when):
    """Layers one upon the other, of one or two directions; the arguments are those of a stack.

    Those layers whose numbers are in `reverse` have one direction, backward.
    """
    ends = []
    for number, layer in enumerate(zip(params, carry, reset_carry, strict=True)):
        runs = []
        for own, start, restart in zip(*map(directions, layer), strict=True):
            run = unroll(
                name,
                own,
                inputs,
                start._asdict(),
                reset_carry=restart._asdict(),
                reverse=bool(runs) or number in reverse,
                **when,
            )
            runs.append(run)
        inputs = np.concatenate([outputs for outputs, _ in runs], axis=-1)
        ends.append([last for _, last in runs])
    return inputs, ends
