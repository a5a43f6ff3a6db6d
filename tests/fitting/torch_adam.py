"""Training by PyTorch, with the function of its Adam: the class imports a compiler, for 5 s."""

import pytest

torch = pytest.importorskip("torch")
adam = pytest.importorskip("torch.optim.adam").adam


def losses_of_torch(modules, loss, num_steps):
    """Train modules at a rate of 0.01; return the loss before each step."""
    params = [param for module in modules for param in module.parameters()]
    means, squares = ([torch.zeros_like(param) for param in params] for _ in range(2))
    steps = [torch.zeros(()) for _ in params]
    options = {"beta1": 0.9, "beta2": 0.999, "lr": 0.01, "eps": 1e-8, "weight_decay": 0.0}
    options |= {"amsgrad": False, "maximize": False, "foreach": False}
    found = []
    for _ in range(num_steps):
        value = loss()
        grads = torch.autograd.grad(value, params)
        with torch.no_grad():
            adam(params, list(grads), means, squares, [], steps, **options)
        found.append(float(value.detach()))
    return found
