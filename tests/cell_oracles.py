"""The equations of every cell in NumPy, one row and one step at a time, as the papers have them.

`reference.py` runs them.  A step gets the cell's own parameters, the G input gates `[H]`, a
function of the hidden state that gives the G hidden gates, and the carry as a dictionary; it
returns the new carry.  A linear cell with a readout has two functions: its step gives the state,
`READOUTS` the output.

All but those with complex states also take complex numbers with a tiny imaginary part, which the
complex step turns into derivatives; so there is no `abs`, and what is compared are real parts.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def relu(x):
    return np.where(np.real(x) > 0, x, 0)


def add_logs(x, y):
    """Return log(exp(x) + exp(y)); `np.logaddexp` refuses complex numbers."""
    larger = np.maximum(np.real(x), np.real(y))
    return larger + np.log(np.exp(x - larger) + np.exp(y - larger))


def normalise(*gates):
    """Ba, Kiros and Hinton (2016): over all units of the gates together."""
    x = np.concatenate(gates)
    centred = x - x.mean()
    return np.split(centred / np.sqrt((centred**2).mean() + 1e-5), len(gates))


def rnn(own, i, gates_of, carry):
    """Elman (1990)."""
    (h,) = gates_of(carry["hidden"])
    return {"hidden": np.tanh(i[0] + h)}


def rectified_rnn(own, i, gates_of, carry):
    """Take a step of an IRNN, or of an IndRNN, whose `gates_of` is a product unit by unit."""
    (h,) = gates_of(carry["hidden"])
    return {"hidden": relu(i[0] + h)}


def gru(own, i, gates_of, carry):
    """Cho et al. (2014), version 1."""
    h = gates_of(carry["hidden"])
    r, z = sigmoid(i[0] + h[0]), sigmoid(i[1] + h[1])
    n = np.tanh(i[2] + r * h[2])
    return {"hidden": (1 - z) * n + z * carry["hidden"]}


def gru_reset_before(own, i, gates_of, carry):
    """Cho et al. (2014), version 3."""
    h_r, h_z, _ = gates_of(carry["hidden"])
    r, z = sigmoid(i[0] + h_r), sigmoid(i[1] + h_z)
    n = np.tanh(i[2] + gates_of(r * carry["hidden"])[2])
    return {"hidden": (1 - z) * n + z * carry["hidden"]}


def lstm(own, i, gates_of, carry):
    """Gers, Schmidhuber and Cummins (2000)."""
    i, f, g, o = np.add(i, gates_of(carry["hidden"]))
    memory = sigmoid(f) * carry["memory"] + sigmoid(i) * np.tanh(g)
    return {"hidden": sigmoid(o) * np.tanh(memory), "memory": memory}


def peephole_lstm(own, i, gates_of, carry):
    """Gers, Schraudolph and Schmidhuber (2002)."""
    i, f, g, o = np.add(i, gates_of(carry["hidden"]))
    c = carry["memory"]
    memory = sigmoid(f + own.forget * c) * c + sigmoid(i + own.input * c) * np.tanh(g)
    return {"hidden": sigmoid(o + own.output * memory) * np.tanh(memory), "memory": memory}


def cifg(own, i, gates_of, carry):
    """Greff et al. (2017): i = 1 - f."""
    f, g, o = np.add(i, gates_of(carry["hidden"]))
    memory = sigmoid(f) * carry["memory"] + (1 - sigmoid(f)) * np.tanh(g)
    return {"hidden": sigmoid(o) * np.tanh(memory), "memory": memory}


def layer_norm_lstm(own, i, gates_of, carry):
    """Ba, Kiros and Hinton (2016), equations 20 to 22."""
    x, h = normalise(*i), normalise(*gates_of(carry["hidden"]))
    i, f, g, o = own.input * x + own.hidden * h + own.bias
    memory = sigmoid(f) * carry["memory"] + sigmoid(i) * np.tanh(g)
    (normalised,) = normalise(memory)
    gain, bias = own.memory
    return {"hidden": sigmoid(o) * np.tanh(gain * normalised + bias), "memory": memory}


def layer_norm_gru(own, i, gates_of, carry):
    """Ba, Kiros and Hinton (2016), equations 23 to 25."""
    h = gates_of(carry["hidden"])
    x_r, x_z, x_n = own.input * np.array([*normalise(*i[:2]), *normalise(i[2])]) + own.bias
    h_r, h_z, h_n = own.hidden * np.array([*normalise(*h[:2]), *normalise(h[2])])
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    return {"hidden": (1 - z) * carry["hidden"] + z * np.tanh(x_n + r * h_n)}


def mgu(own, i, gates_of, carry):
    """Zhou et al. (2016), with f after the product."""
    h_f, h_n = gates_of(carry["hidden"])
    f = sigmoid(i[0] + h_f)
    return {"hidden": (1 - f) * carry["hidden"] + f * np.tanh(i[1] + f * h_n)}


def mgu_of_flax(own, i, gates_of, carry):
    """The documentation of `flax.linen.MGUCell`: f keeps the old state."""
    h_f, h_n = gates_of(carry["hidden"])
    f = sigmoid(i[0] + h_f)
    return {"hidden": (1 - f) * np.tanh(i[1] + f * h_n) + f * carry["hidden"]}


def slstm(own, i, gates_of, carry):
    """Beck et al. (2024), equations 8 to 10; the carry is their c and n, divided by exp(m)."""
    i, f, z, o = np.add(i, gates_of(carry["hidden"]))
    m, old_m = -np.log1p(np.exp(-f)) + carry["stabilizer"], carry["stabilizer"]
    m = np.where(np.real(m) > np.real(i), m, i)  # equation 15
    memory = sigmoid(f) * carry["memory"] * np.exp(old_m) + np.exp(i) * np.tanh(z)
    normalizer = sigmoid(f) * carry["normalizer"] * np.exp(old_m) + np.exp(i)
    return {
        "hidden": sigmoid(o) * memory / normalizer,
        "memory": memory / np.exp(m),
        "normalizer": normalizer / np.exp(m),
        "stabilizer": m,
    }


def min_gru(own, i, gates_of, carry):
    """Feng et al. (2024), section 3.1."""
    z = sigmoid(i[0])
    return {"hidden": (1 - z) * carry["hidden"] + z * i[1]}


def min_lstm(own, i, gates_of, carry):
    """Feng et al. (2024), section 3.2."""
    f, i_, candidate = sigmoid(i[0]), sigmoid(i[1]), i[2]
    return {"hidden": f / (f + i_) * carry["hidden"] + i_ / (f + i_) * candidate}


def log_g(x):
    """Feng et al. (2024), appendix B: the logarithm of what makes a candidate positive."""
    return np.where(np.real(x) >= 0, np.log(relu(x) + 0.5), -softplus(-x))


def min_gru_in_log_space(own, i, gates_of, carry):
    """Feng et al. (2024), appendix B.2.1."""
    log_z, log_rest = -softplus(-i[0]), -softplus(i[0])
    return {"hidden": np.exp(add_logs(log_rest + np.log(carry["hidden"]), log_z + log_g(i[1])))}


def min_lstm_in_log_space(own, i, gates_of, carry):
    """Feng et al. (2024), appendix B.2.2."""
    difference = softplus(-i[0]) - softplus(-i[1])
    log_f, log_i = -softplus(difference), -softplus(-difference)
    return {"hidden": np.exp(add_logs(log_f + np.log(carry["hidden"]), log_i + log_g(i[2])))}


def lru(own, i, gates_of, carry):
    """Orvieto et al. (2023), appendix A."""
    eigenvalue = np.exp(-np.exp(own.log_decay) + 1j * np.exp(own.log_phase))
    state = carry["real"] + 1j * carry["imaginary"]
    state = eigenvalue * state + np.exp(own.log_scale) * (i[0] + 1j * i[1])
    return {"real": state.real, "imaginary": state.imag}


def lru_readout(own, i, carry):
    state = carry["real"] + 1j * carry["imaginary"]
    return (state @ (own.readout_real + 1j * own.readout_imaginary)).real + i[2]


def s5(own, i, gates_of, carry):
    """Smith, Warrington and Linderman (2023), equation 6: the zero-order hold."""
    eigenvalue = -np.exp(own.log_decay) + 1j * own.frequency
    step = np.exp(own.log_step)
    state = carry["real"] + 1j * carry["imaginary"]
    held = (np.exp(eigenvalue * step) - 1) / eigenvalue
    state = np.exp(eigenvalue * step) * state + held * (i[0] + 1j * i[1])
    return {"real": state.real, "imaginary": state.imag}


def s5_readout(own, i, carry):
    """The state and its conjugate, which the layer does not keep."""
    state = carry["real"] + 1j * carry["imaginary"]
    readout = own.readout_real + 1j * own.readout_imaginary
    return (state @ readout + state.conj() @ readout.conj()).real + i[2]


def rg_lru(own, i, gates_of, carry):
    """De et al. (2024), equations 1 to 4 and 6."""
    r, gate = sigmoid(i[0]), sigmoid(i[1])
    a = np.exp(-8 * softplus(own) * r)
    return {"hidden": a * carry["hidden"] + np.sqrt(1 - a**2) * gate * i[2]}


def qrnn_f(own, i, gates_of, carry):
    """Bradbury et al. (2017), equation 3."""
    z, f = np.tanh(i[0]), sigmoid(i[1])
    return {"hidden": f * carry["hidden"] + (1 - f) * z}


def qrnn_fo(own, i, gates_of, carry):
    """Bradbury et al. (2017), equation 4."""
    z, f = np.tanh(i[0]), sigmoid(i[1])
    return {"state": f * carry["state"] + (1 - f) * z}


def qrnn_ifo(own, i, gates_of, carry):
    """Bradbury et al. (2017), equation 5."""
    return {"state": sigmoid(i[1]) * carry["state"] + sigmoid(i[3]) * np.tanh(i[0])}


def qrnn_readout(own, i, carry):
    return sigmoid(i[2]) * carry["state"]


def sru(own, i, gates_of, carry):
    """Lei and Zhang (2017), version 1, equations 3 to 7 without an activation."""
    f = sigmoid(i[1])
    return {"state": f * carry["state"] + (1 - f) * i[0]}


def sru_readout(own, i, carry):
    r = sigmoid(i[2])
    return r * carry["state"] + (1 - r) * i[3]


def ema(own, i, gates_of, carry):
    """Mozer (1992)."""
    a = sigmoid(own)
    return {"hidden": a * carry["hidden"] + (1 - a) * i[0]}


STEPS = {
    "rnn": rnn,
    "relu": rectified_rnn,
    "gru": gru,
    "gru_reset_before": gru_reset_before,
    "lstm": lstm,
    "peephole_lstm": peephole_lstm,
    "cifg": cifg,
    "layer_norm_lstm": layer_norm_lstm,
    "layer_norm_gru": layer_norm_gru,
    "mgu": mgu,
    "mgu_of_flax": mgu_of_flax,
    "indrnn": rectified_rnn,
    "slstm": slstm,
    "slstm_of_two_heads": slstm,
    "min_gru": min_gru,
    "positive_min_gru": min_gru_in_log_space,
    "min_lstm": min_lstm,
    "positive_min_lstm": min_lstm_in_log_space,
    "lru": lru,
    "s5": s5,
    "rg_lru": rg_lru,
    "qrnn": qrnn_fo,
    "qrnn_f": qrnn_f,
    "qrnn_ifo": qrnn_ifo,
    "sru": sru,
    "ema": ema,
}
READOUTS = {
    "lru": lru_readout,
    "s5": s5_readout,
    "qrnn": qrnn_readout,
    "qrnn_ifo": qrnn_readout,
    "sru": sru_readout,
}
COMPLEX = {"lru", "s5"}
"""Cells whose states are complex: the complex step is not for them."""
