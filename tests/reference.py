"""Slow oracles: loops over rows and steps in NumPy, written from the papers' equations."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn_step(gates_in, gates_hidden, carry):
    return {"hidden": np.tanh(gates_in + gates_hidden)}


def gru_step(gates_in, gates_hidden, carry):
    i_r, i_z, i_n = np.split(gates_in, 3)
    h_r, h_z, h_n = np.split(gates_hidden, 3)
    r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
    n = np.tanh(i_n + r * h_n)
    return {"hidden": (1 - z) * n + z * carry["hidden"]}


def lstm_step(gates_in, gates_hidden, carry):
    i, f, g, o = np.split(gates_in + gates_hidden, 4)
    memory = sigmoid(f) * carry["memory"] + sigmoid(i) * np.tanh(g)
    return {"hidden": sigmoid(o) * np.tanh(memory), "memory": memory}


STEPS = {"rnn": rnn_step, "gru": gru_step, "lstm": lstm_step}


def unroll(name, params, inputs, carry, lengths=None, resets=None, reset_carry=None, reverse=False):
    """One row after the other, one step after the other.

    `carry` and `reset_carry` are dictionaries of arrays [B, H]; ids [T, B] become one-hot rows.
    """
    w_ih, w_hh, b_ih, b_hh = (None if p is None else np.asarray(p) for p in params[:4])
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
            gates_hidden = state["hidden"] @ w_hh + (0 if b_hh is None else b_hh)
            state = STEPS[name](inputs[t, b] @ w_ih + b_ih, gates_hidden, state)
            outputs[t, b] = state["hidden"]
        for field in last:
            last[field][b] = state[field]
    return outputs, last
