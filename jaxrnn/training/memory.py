"""The memory of this machine."""

import os


def physical_memory() -> int:
    """Return the size of this machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_fits(needed: int, sizes: str) -> None:
    """Raise if a training state of so many bytes does not fit in memory, where JAX would abort.

    Args:
        needed: the bytes of parameters, gradient and optimizer state together.
        sizes: the settings that the message advises to make smaller.
    """
    if needed > physical_memory():
        raise ValueError(
            f"parameters, their gradient and the optimizer's state need {needed:,} bytes, but this"
            f" machine has {physical_memory():,}: choose a smaller {sizes}"
        )
