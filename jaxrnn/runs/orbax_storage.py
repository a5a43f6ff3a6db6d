"""Steps on disk, by orbax: a folder for each, with a folder for each of its items."""

from pathlib import Path
from typing import Any

import jax


def make_manager(folder: Path) -> Any:
    """Return what writes steps to a folder, made if need be; all processes of a run share it."""
    import orbax.checkpoint as ocp  # takes a second to import

    options = ocp.CheckpointManagerOptions(
        max_to_keep=None,  # orbax deletes folders by their number, whatever they hold
        enable_async_checkpointing=False,
        cleanup_tmp_directories=True,
    )
    return ocp.CheckpointManager(folder, options=options)


def write(manager: Any, step: int, arrays: dict[str, dict[str, Any]], meta: Any) -> bool:
    """Write items of arrays, and `meta` as JSON, all at once; return whether that was done."""
    import orbax.checkpoint as ocp

    items = {item: ocp.args.StandardSave(flat) for item, flat in arrays.items()}
    items["meta"] = ocp.args.JsonSave(meta)
    # Forced, as another process may know of fewer steps than the first.
    return bool(manager.save(step, args=ocp.args.Composite(**items), force=True))


def read(folder: Path, types: Any) -> Any:
    """Read an item in this process alone; if all took part, one that fails would block the others.

    Args:
        folder: the folder of the item.
        types: the shapes and dtypes of its arrays; None for JSON.
    """
    import orbax.checkpoint as ocp

    is_json = types is None
    handler = ocp.JsonCheckpointHandler() if is_json else ocp.StandardCheckpointHandler()
    args = ocp.args.JsonRestore() if is_json else ocp.args.StandardRestore(types)
    alone = ocp.options.MultiprocessingOptions(
        primary_host=None, active_processes={jax.process_index()}
    )
    return ocp.Checkpointer(handler, multiprocessing_options=alone).restore(folder, args=args)
