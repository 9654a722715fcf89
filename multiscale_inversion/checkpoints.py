"""Checkpoints of a training under way."""

import os
from typing import Any

import jax
import orbax.checkpoint as ocp

_KEPT = 2


class Checkpoints:
  """The checkpoints in one folder, the latest two kept.

  Saving goes on in the background while training does; `close` waits for it.
  """

  def __init__(self, directory: str):
    options = ocp.CheckpointManagerOptions(max_to_keep=_KEPT)
    self._manager = ocp.CheckpointManager(os.path.abspath(directory), options=options)

  def latest_step(self) -> int | None:
    """The step of the latest complete checkpoint; None if there is none."""
    return self._manager.latest_step()

  def save(self, step: int, training: Any, notes: dict[str, Any], variables: Any = None) -> None:
    """Saves a checkpoint unless that step has one.

    Arrays go through the host: a checkpoint knows no devices, and is restored on any number of
    them. Where there are several processes, all call this, with equal values; process 0 writes.

    Args:
      step: number of steps done.
      training: a pytree of arrays.
      notes: what JSON can hold.
      variables: of the network that is evaluated, for those who want it alone; a pytree of arrays.
    """
    if step in self._manager.all_steps():
      return
    items = {
        'training': ocp.args.StandardSave(jax.device_get(training)),
        'notes': ocp.args.JsonSave(notes),
    }
    if variables is not None:
      items['variables'] = ocp.args.StandardSave(jax.device_get(variables))
    self._manager.save(step, args=ocp.args.Composite(**items))

  def restore(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
    """Restores a checkpoint.

    Args:
      step: one that has a checkpoint.
      like: a pytree of arrays of the structure, shapes and types wanted.

    Returns:
      The pytree, of host arrays, and the notes.
    """
    items = ocp.args.Composite(
        training=ocp.args.StandardRestore(jax.device_get(like)), notes=ocp.args.JsonRestore()
    )
    restored = self._manager.restore(step, args=items)
    return restored.training, restored.notes

  def restore_variables(self, step: int) -> dict[str, Any]:
    """Restores the variables of the network that is evaluated alone, as host arrays."""
    items = ocp.args.Composite(variables=ocp.args.StandardRestore())
    return self._manager.restore(step, args=items).variables

  def close(self) -> None:
    """Waits until everything is saved."""
    self._manager.wait_until_finished()
    self._manager.close()
