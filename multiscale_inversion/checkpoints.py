"""Save and restore checkpoints, each checked against its digests when it is read."""

import contextlib
import functools
import hashlib
import itertools
import json
import logging
import os
import re
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from multiscale_inversion.errors import StorageError, UserError, one_line

_KEPT = 2
_TRAINING, _VARIABLES, _NOTES = 'training', 'variables', 'notes'
_DAMAGED = 'damaged'  # sub-folder of checkpoints that were set aside


class DamagedCheckpointWarning(UserWarning):
  """A checkpoint is damaged, and an older one is used in its place."""


class Checkpoint(NamedTuple):
  """The content of a checkpoint.

  Attributes:
    step: number of steps done.
    tree: the requested pytree, of host arrays.
    notes: a JSON object.
  """

  step: int
  tree: Any
  notes: dict[str, Any]


class _Damaged(Exception):
  """A checkpoint differs from what was saved; the message says how in a few words."""


class Checkpoints:
  """The checkpoints in one folder, the latest two kept.

  Checkpoints are saved in the background; `close` waits for the last one. Arrays and notes have
  their SHA-256 beside them. A checkpoint is damaged if anything in it is missing or changed, if it
  stands under another step's number, or if its variables are not finite. If the newest one is
  damaged, a `DamagedCheckpointWarning` names it and the next older one is read.

  Args:
    directory: the folder, made when the first checkpoint is saved.

  Raises:
    UserError: if there is a file of this name, or the path is not UTF-8.
  """

  def __init__(self, directory: str):
    self._directory = os.path.abspath(directory)
    try:
      self._directory.encode()
    except UnicodeEncodeError as error:
      raise UserError(f'{directory}: not a path in UTF-8, which Orbax needs') from error
    if os.path.lexists(self._directory) and not os.path.isdir(self._directory):
      raise UserError(f'{directory}: not a folder; allowed: the folder of checkpoints, or none')
    self._manager: ocp.CheckpointManager | None = None

  def steps(self) -> list[int]:
    """Return the steps that have an entry in the folder, the latest first."""
    if not os.path.isdir(self._directory):
      return []
    names = [name for name in os.listdir(self._directory) if name.isascii() and name.isdecimal()]
    return sorted((int(name) for name in names if name == str(int(name))), reverse=True)

  def save(self, step: int, training: Any, notes: Mapping[str, Any], variables: Any) -> None:
    """Save a checkpoint unless the step has one.

    Arrays are saved from the host, so that a checkpoint can be restored on any number of devices.
    All processes call this with equal values; process 0 writes.

    Args:
      step: number of steps done.
      training: a pytree of arrays.
      notes: a JSON object.
      variables: the variables of the evaluated network, a pytree of arrays, to be restored alone.

    Raises:
      StorageError: if this checkpoint or the one before it cannot be written.
    """
    trees = jax.device_get({_TRAINING: training, _VARIABLES: variables})
    digests = {item: _digests(tree) for item, tree in trees.items()}
    content = json.loads(json.dumps({**notes, 'step': step, 'digests': digests}))
    sealed = {'notes': content, 'sha256': _seal(content)}
    items = {item: ocp.args.StandardSave(tree) for item, tree in trees.items()}
    try:
      manager = self._opened()
      if step not in manager.all_steps():
        manager.save(step, args=ocp.args.Composite(**items, notes=ocp.args.JsonSave(sealed)))
    except Exception as error:  # Orbax and its threads raise errors of many types
      raise self._not_saved(error) from error

  def restore(self, like: Any) -> Checkpoint | None:
    """Restore the newest sound checkpoint of a training.

    Args:
      like: a pytree of arrays with the expected structure, shapes and types.

    Returns:
      The checkpoint, with a tree like `like`; None if there is none.

    Raises:
      UserError: if every checkpoint is damaged, or the newest sound one has another structure.
    """
    found = self._newest(_TRAINING)
    if found is None:
      return None
    return found._replace(tree=self._as(found, like))

  def restore_variables(self) -> Checkpoint | None:
    """Restore the variables of the evaluated network from the newest sound checkpoint.

    Returns:
      The checkpoint, with a tree of nested dictionaries; None if there is none.

    Raises:
      UserError: if every checkpoint is damaged.
    """
    return self._newest(_VARIABLES)

  def tidy(self, step: int | None) -> None:
    """Set aside entries newer than a step, and remove the temporary files of killed saves.

    Called by the one process that goes on from this step, so that later saves find their places
    free.

    Args:
      step: the step of the restored checkpoint; None if there was none.
    """
    if not os.path.isdir(self._directory):
      return
    for name in os.listdir(self._directory):
      if _is_temporary(name):
        shutil.rmtree(os.path.join(self._directory, name), ignore_errors=True)
    for other in self.steps():
      if step is None or other > step or not os.path.isdir(self._folder(other)):
        self._set_aside(str(other))

  def close(self) -> None:
    """Wait for the last checkpoint to be saved.

    Raises:
      StorageError: if the last checkpoint cannot be written.
    """
    if self._manager is None:
      return
    manager, self._manager = self._manager, None
    try:
      manager.wait_until_finished()
      manager.close()
    except Exception as error:  # see `save`
      with contextlib.suppress(Exception):  # it raises the same error again
        manager.close()
      raise self._not_saved(error) from error

  def _opened(self) -> ocp.CheckpointManager:
    if self._manager is None:
      _pass_over_late_ends()
      options = ocp.CheckpointManagerOptions(max_to_keep=_KEPT)
      self._manager = ocp.CheckpointManager(self._directory, options=options)
    return self._manager

  def _folder(self, step: int) -> str:
    return os.path.join(self._directory, str(step))

  def _not_saved(self, error: Exception) -> StorageError:
    return StorageError(f'{self._directory}: the checkpoint cannot be saved: {one_line(error)}')

  def _newest(self, item: str) -> Checkpoint | None:
    """Read the newest sound checkpoint; warn about each damaged one."""
    jax.devices()  # An unavailable platform must not look like damage.
    steps, reasons = self.steps(), []
    for step in steps:
      try:
        found = self._read(step, item)
      except _Damaged as damage:
        reasons.append(f'{self._folder(step)}: damaged ({damage})')
        continue
      for reason in reasons:
        message = f'{reason}; the checkpoint of step {step} is used'
        warnings.warn(message, DamagedCheckpointWarning, stacklevel=3)
      return found
    if reasons:
      raise UserError(
          f'{reasons[0]}, and no older checkpoint is sound; allowed: the folder as it was saved, '
          'or another one for a new run'
      )
    return None

  def _read(self, step: int, item: str) -> Checkpoint:
    """Read one item of a checkpoint, and check it and the variables.

    Raises:
      _Damaged: if it differs from what was saved under this step.
    """
    folder = self._folder(step)
    sealed = _restore(folder, _NOTES, ocp.args.JsonRestore)
    notes, digests = _opened_notes(sealed, step)
    has_variables = digests is not None or os.path.isdir(os.path.join(folder, _VARIABLES))
    if item == _VARIABLES and not has_variables:
      raise UserError(f'{folder}: of an older version, without the variables alone')
    trees = {
        name: _restore(folder, name, ocp.args.StandardRestore)
        for name in (_TRAINING, _VARIABLES)
        if name == item or (name == _VARIABLES and has_variables)
    }
    for name, tree in trees.items():
      if digests is not None and _digests(tree) != digests.get(name):
        raise _Damaged(f'{name} differ from what was saved')
    if not all_finite(trees.get(_VARIABLES, {})):
      raise _Damaged('variables that are not finite')
    if digests is None and item == _TRAINING and _recorded_step(trees[item]) != step:
      raise _Damaged("another step's")
    return Checkpoint(step, trees[item], notes)

  def _as(self, found: Checkpoint, like: Any) -> Any:
    """Return a restored tree with the structure of another one."""
    restored = _by_path(found.tree)
    wanted = _by_path(like)
    different = sorted(
        path
        for path in {*restored, *wanted}
        if path not in restored or path not in wanted
        or (restored[path].shape, restored[path].dtype) != (wanted[path].shape, wanted[path].dtype)
    )
    if different:
      raise UserError(
          f'{self._folder(found.step)}: of another configuration or version: '
          f'{different[0]} is not what this run trains; give another folder for a new run'
      )
    return jax.tree.unflatten(jax.tree.structure(like), [restored[path] for path in wanted])

  def _set_aside(self, name: str) -> None:
    folder = os.path.join(self._directory, _DAMAGED)
    os.makedirs(folder, exist_ok=True)
    targets = (os.path.join(folder, f'{name}_{number}') for number in itertools.count(1))
    target = next(itertools.filterfalse(os.path.lexists, targets))
    os.rename(os.path.join(self._directory, name), target)


def all_finite(tree: Any) -> bool:
  """Return whether all floating-point numbers in a pytree of host arrays are finite."""
  return all(
      np.isfinite(np.asarray(leaf, np.float32)).all()
      for leaf in jax.tree.leaves(tree)
      if jax.numpy.issubdtype(np.asarray(leaf).dtype, np.inexact)
  )


def _restore(folder: str, item: str, arguments: Callable[[], Any]) -> Any:
  """Read one item of a checkpoint with its saved structure."""
  _pass_over_late_ends()
  try:
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
      return reader.restore(folder, args=ocp.args.Composite(**{item: arguments()}))[item]
  except MemoryError:
    raise
  except Exception as error:  # damaged files make Orbax raise errors of many types
    raise _Damaged(f'{item} cannot be read') from error


@functools.cache
def _pass_over_late_ends() -> None:
  """From now on, ignore errors of reads and writes that end after Orbax has stopped waiting.

  After the first array that cannot be read or written, Orbax abandons the others, which then end in
  threads without an event loop, or in an error that asyncio logs because nobody asks for it.
  """
  otherwise = sys.unraisablehook

  def hook(unraisable):
    if 'Event loop is closed' not in str(unraisable.exc_value):
      otherwise(unraisable)

  sys.unraisablehook = hook
  logging.getLogger('asyncio').addFilter(lambda record: not _is_abandoned_by_orbax(record))


def _is_abandoned_by_orbax(record: logging.LogRecord) -> bool:
  """Return whether asyncio logs an error that Orbax has not asked for."""
  if 'exception was never retrieved' not in record.getMessage() or not record.exc_info:
    return False
  frames = traceback.walk_tb(record.exc_info[2])
  return any(frame.f_globals.get('__name__', '').startswith('orbax.') for frame, _ in frames)


def _opened_notes(sealed: Any, step: int) -> tuple[dict[str, Any], dict[str, Any] | None]:
  """Return the notes and the digests of a checkpoint; early versions saved no digests: None."""
  if not isinstance(sealed, dict):
    raise _Damaged('notes are not an object')
  if not {'notes', 'sha256'} & {*sealed}:  # Early versions saved neither.
    return sealed, None
  notes = sealed.get('notes')
  if not isinstance(notes, dict) or sealed.get('sha256') != _seal(notes):
    raise _Damaged('notes differ from what was saved')
  if notes['step'] != step:
    raise _Damaged(f'it is that of step {notes["step"]}')
  return notes, notes['digests']


def _recorded_step(tree: Any) -> int:
  try:
    return int(tree['state']['step'].flat[0])  # the first seed's
  except (KeyError, TypeError, AttributeError) as error:
    raise _Damaged('it does not say of which step it is') from error


def _seal(notes: Any) -> str:
  return hashlib.sha256(json.dumps(notes, sort_keys=True).encode()).hexdigest()


def _digests(tree: Any) -> dict[str, str]:
  """Return the SHA-256 of each array's type, shape and bytes, by its path."""
  found = {}
  for path, leaf in _by_path(tree).items():
    array = np.asarray(leaf)
    digest = hashlib.sha256(f'{array.dtype.name} {array.shape}'.encode())
    digest.update(array.tobytes())
    found[path] = digest.hexdigest()
  return found


def _by_path(tree: Any) -> dict[str, Any]:
  """Return the leaves by their paths, in which a field, a key and a position look the same.

  Orbax restores named tuples as dictionaries.
  """
  flat, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {json.dumps([_word(entry) for entry in path]): leaf for path, leaf in flat}


def _word(entry: Any) -> str:
  for attribute in ('key', 'name', 'idx'):
    if hasattr(entry, attribute):
      return str(getattr(entry, attribute))
  return str(entry)


def _is_temporary(name: str) -> bool:
  return re.search(r'orbax-checkpoint-tmp', name) is not None
