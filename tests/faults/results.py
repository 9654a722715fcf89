"""What a run's folder holds, read by code of the tests' own."""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

LEFTOVERS = ('.part', '.orbax-checkpoint-tmp')
# What differs between equal runs beside times; a digest of the notes counts their times, too. The
# records are compared themselves, where none may be lost.
_OTHER = ('command', 'data_dir', 'commit', 'commit_dirty', 'sha256', 'num_records')


class Result(NamedTuple):
  """The result of a program's run, without times and the folders of the machine.

  Attributes:
    summaries: by folder.
    records: the lines of each `metrics.jsonl`, by file.
    arrays: a digest of each array of the last checkpoint, by folder, item and path.
    notes: of the last checkpoint, by folder.
    leftovers: files of killed writes.
  """

  summaries: dict[str, Any]
  records: dict[str, list[Any]]
  arrays: dict[str, str]
  notes: dict[str, Any]
  leftovers: list[str]


def after(action: Callable[[], int], folder: pathlib.Path, folders: Sequence[str]) -> int:
  """Do an action that ends with a status; where it is 0, write down what the folders hold.

  The same process does both, since reading a checkpoint starts JAX's backend.
  """
  status = action()
  if status == 0:
    content = json.dumps(_read_folders(folder, folders)._asdict())
    _file(folder).write_text(content, encoding='utf-8')
  return status


def read(folder: pathlib.Path) -> Result:
  """Return what `after` has written down."""
  return Result(**json.loads(_file(folder).read_text(encoding='utf-8')))


def is_leftover(path: str) -> bool:
  """Return whether a path is of something that was being written."""
  return any(part in path for part in LEFTOVERS)


def _file(folder: pathlib.Path) -> pathlib.Path:
  return folder.with_name(folder.name + '_result.json')


def _read_folders(folder: pathlib.Path, folders: Sequence[str]) -> Result:
  result = Result({}, {}, {}, {}, [])
  for name in folders:
    place = folder / name
    result.summaries[name] = _timeless(_json(place / 'summary.json'))
    arrays, notes = last_checkpoint(place / 'checkpoints')
    result.notes[name] = _timeless(notes)
    result.arrays.update({f'{name}/{path}': value for path, value in arrays.items()})
  for path in sorted(folder.rglob('*')):
    if path.name == 'metrics.jsonl':
      lines = path.read_text(encoding='utf-8').splitlines()
      result.records[str(path.relative_to(folder))] = list(map(json.loads, lines))
    if is_leftover(path.name):
      result.leftovers.append(str(path.relative_to(folder)))
  return result


def last_checkpoint(folder: pathlib.Path) -> tuple[dict[str, str], Any]:
  """Return a digest of each array of the last checkpoint, by item and path, and the notes."""
  import jax
  import orbax.checkpoint as ocp

  step = folder / str(max(int(name) for name in os.listdir(folder) if name.isdigit()))
  arrays, notes = {}, {}
  for item in sorted(step.iterdir()):
    if (item / '_METADATA').exists():
      tree = ocp.Checkpointer(ocp.StandardCheckpointHandler()).restore(item)
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        arrays[f'{item.name}{jax.tree_util.keystr(path)}'] = _digest(np.asarray(leaf))
    elif (item / 'metadata').exists():
      notes[item.name] = _json(item / 'metadata')
  if not arrays:
    raise AssertionError(f'{step} holds no arrays')
  return arrays, notes


def _digest(array: np.ndarray) -> str:
  return f'{array.dtype}{list(array.shape)} {hashlib.sha256(array.tobytes()).hexdigest()}'


def _json(path: pathlib.Path) -> Any:
  return json.loads(path.read_text(encoding='utf-8'))


def _timeless(value: Any) -> Any:
  """Return a JSON value without times, commands and folders, which differ between equal runs."""
  if isinstance(value, dict):
    return {
        key: _timeless(inner)
        for key, inner in value.items()
        if 'time' not in key and key not in _OTHER
    }
  return list(map(_timeless, value)) if isinstance(value, list) else value
