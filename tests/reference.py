"""Slow oracles: loops over rows and steps in NumPy, written from the papers' equations."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn_step(gates_in, gates_of, carry):
    return {"hidden": np.tanh(gates_in + gates_of(carry["hidden"]))}


def relu_step(gates_in, gates_of, carry):
    return {"hidden": np.maximum(gates_in + gates_of(carry["hidden"]), 0)}


def gru_step(gates_in, gates_of, carry):
    i_r, i_z, i_n = np.split(gates_in, 3)
    h_r, h_z, h_n = np.split(gates_of(carry["hidden"]), 3)
    r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
    n = np.tanh(i_n + r * h_n)
    return {"hidden": (1 - z) * n + z * carry["hidden"]}


def gru_reset_before_step(gates_in, gates_of, carry):
    i_r, i_z, i_n = np.split(gates_in, 3)
    h_r, h_z, _ = np.split(gates_of(carry["hidden"]), 3)
    r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
    n = np.tanh(i_n + np.split(gates_of(r * carry["hidden"]), 3)[2])
    return {"hidden": (1 - z) * n + z * carry["hidden"]}


def lstm_step(gates_in, gates_of, carry):
    i, f, g, o = np.split(gates_in + gates_of(carry["hidden"]), 4)
    memory = sigmoid(f) * carry["memory"] + sigmoid(i) * np.tanh(g)
    return {"hidden": sigmoid(o) * np.tanh(memory), "memory": memory}


STEPS = {
    "rnn": rnn_step,
    "relu": relu_step,
    "gru": gru_step,
    "gru_reset_before": gru_reset_before_step,
    "lstm": lstm_step,
}


def unroll(name, params, inputs, carry, lengths=None, resets=None, reset_carry=None, reverse=False):
    """One row after the other, one step after the other.

    `carry` and `reset_carry` are dictionaries of arrays [B, H]; ids [T, B] become one-hot rows.
    """
    w_ih, w_hh, b_ih, b_hh = (None if p is None else np.asarray(p) for p in params[:4])
    carry, reset_carry = (
        {field: np.asarray(value) for field, value in (given or {}).items()}
        for given in (carry, reset_carry)
    )

    def gates_of(hidden):
        return hidden @ w_hh + (0 if b_hh is None else b_hh)

    inputs = np.asarray(inputs)
    if np.issubdtype(inputs.dtype, np.integer):
        inputs = np.eye(w_ih.shape[0])[inputs]
    num_steps, batch_size = inputs.shape[:2]
    outputs = np.zeros((num_steps, batch_size, w_hh.shape[0]))
    last = {field: np.array(value) for field, value in carry.items()}
    for b in range(batch_size):
        length = num_steps if lengths is None else lengths[b]
        state = {field: value[b] for field, value in carry.items()}
        for t in reversed(range(length)) if reverse else range(length):
            boundary = t + 1 if reverse else t  # resets[t] lies between t - 1 and t
            if resets is not None and boundary < length and resets[boundary, b]:
                state = {field: value[b] for field, value in reset_carry.items()}
            state = STEPS[name](inputs[t, b] @ w_ih + b_ih, gates_of, state)
            outputs[t, b] = state["hidden"]
        for field in last:
            last[field][b] = state[field]
    return outputs, last


def directions(own):
    """The entries of a layer's params or carry: forward and backward, or the only one."""
    return (own.forward, own.backward) if hasattr(own, "forward") else (own,)


def network(name, params, inputs, carry, reset_carry, **when):
    """Layers one upon the other, of one or two directions; the arguments are those of a stack."""
    ends = []
    for layer in zip(params, carry, reset_carry, strict=True):
        runs = []
        for own, start, restart in zip(*map(directions, layer), strict=True):
            run = unroll(
                name,
                own,
                inputs,
                start._asdict(),
                reset_carry=restart._asdict(),
                reverse=bool(runs),
                **when,
            )
            runs.append(run)
        inputs = np.concatenate([outputs for outputs, _ in runs], axis=-1)
        ends.append([last for _, last in runs])
    return inputs, ends
