"""Reads what finished runs left behind, each value checked before anything is made of it."""

import os
import reprlib
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from multiscale_inversion import files
from multiscale_inversion.errors import HUGE, UserError
from multiscale_inversion.runs import defaults, kinds, records, writers
from multiscale_inversion.runs.folder import METRICS, SUMMARY

_REQUIRED = {
    'dataset': kinds.NAME,
    'network': kinds.NAME,
    'objective': kinds.NAME,
    'num_labeled': kinds.whole(0),
    'seed': kinds.whole(0),
    'test_error': kinds.PERCENT,
    'num_parameters': kinds.whole(0, 2**63 - 1),
    'num_steps': kinds.whole(1),
    'num_epochs': kinds.POSITIVE,
    'wall_time_s': kinds.AMOUNT,
    'command': kinds.TEXT,
    'config': kinds.OBJECT,
    'hardware': kinds.OBJECT,
    'versions': kinds.OBJECT,
}
# Of several seeds alone, or younger than the first runs.
_OPTIONAL = {
    'train': kinds.SCALARS,
    'test_error_std': kinds.AMOUNT,
    'seeds': kinds.Kind(lambda v: isinstance(v, list) and bool(v), 'a list that is not empty'),
    'class_names': kinds.list_of(kinds.TEXT, 'a list of strings'),
    'image_shape': kinds.list_of(kinds.whole(1), 'a list of whole numbers from 1 up'),
    'skipped_images': kinds.whole(0),
}
_OF_A_SEED = {'seed': kinds.whole(0), 'test_error': kinds.PERCENT}
_SECTIONS = ('data', 'network', 'objective')
# A recorded configuration's numbers are finite; a function is there by its description.
_OF_TYPE = kinds.OF_TYPE | {
    int: kinds.whole(-HUGE),
    float: kinds.number(),
    tuple: kinds.list_of(kinds.number(), 'a list of numbers'),
    object: kinds.TEXT,
}


def check_summary(content: Any, where: str) -> dict[str, Any]:
  """Checks the summary of a finished run, of one seed or several.

  Args:
    content: as read from JSON.
    where: the place that it was read from, for the message.

  Returns:
    The summary as it was given.

  Raises:
    UserError: one line that names the place, the key and what is allowed.
  """
  kinds.check(content, kinds.OBJECT, where)
  kinds.check_keys(content, _REQUIRED, where, what='a run')
  optional = {key: kind for key, kind in _OPTIONAL.items() if key in content}
  kinds.check_keys(content, optional, where)
  for run in content.get('seeds', []):
    kinds.check(run, kinds.OBJECT, f'{where}: seeds')
    kinds.check_keys(run, _OF_A_SEED, f'{where}: seeds', what='a seed')
  _check_config(content['config'], f'{where}: config')
  return content


def _check_config(config: dict[str, Any], where: str) -> None:
  """Checks the values of a recorded configuration by the types of the defaults.

  Keys may be missing, which are then younger than the run, or unknown, of a later version.
  """
  for section in _SECTIONS:
    if section not in config:
      raise UserError(f'{where}: lacks {section}')
  known = defaults.get_config()
  for key, value in config.items():
    if isinstance(known.get(key), ConfigDict):
      kinds.check(value, kinds.OBJECT, f'{where}.{key}')
      for name, inner in value.items():
        _check_value(known[key], name, inner, f'{where}.{key}.{name}')
    else:
      _check_value(known, key, value, f'{where}.{key}')


def _check_value(section: ConfigDict, name: str, value: Any, where: str) -> None:
  if not name or '.' in name:
    raise UserError(f'{where}: {name!r} is not the name of a key')
  if name not in section:
    kinds.check(value, kinds.Kind(lambda v: not isinstance(v, dict), 'no object'), where)
  elif value is not None or section[name] is not None:
    kinds.check(value, _OF_TYPE[section.get_type(name)], where)


def read_summary(folder: str) -> dict[str, Any]:
  """The summary of a run's folder, as it is there.

  Raises:
    UserError: if the folder holds no finished run, or its summary is not one.
  """
  path = os.path.join(folder, SUMMARY)
  if not os.path.lexists(path):
    if not os.path.isdir(folder):
      raise UserError(f'{folder}: no such folder')
    raise UserError(f'{folder}: no finished run ({SUMMARY})')
  return check_summary(files.read_json(path), path)


def read_list(path: str) -> list[Any]:
  """What a result file holds: a JSON list that is not empty, or one object alone.

  Raises:
    UserError: if it does not.
  """
  content = files.read_json(path)
  content = [content] if isinstance(content, dict) else content
  if not isinstance(content, list):
    raise UserError(f'{path}: {reprlib.repr(content)}; allowed: a JSON list of runs')
  if not content:
    raise UserError(f'{path}: holds no run')
  return content


def read_runs(path: str) -> list[dict[str, Any]]:
  """The runs of a run's folder or a result file, one a seed.

  Raises:
    UserError: for a path that holds none, an unfinished run among them.
  """
  if os.path.isdir(path):
    return records.single_runs(read_summary(path))
  runs = [check_summary(run, _place(path, n)) for n, run in enumerate(read_list(path))]
  return [single for run in runs for single in records.single_runs(run)]


def _place(path: str, index: int) -> str:
  return f'{path}: run {index + 1}'


_OF_MISTAKES = {
    'objective': kinds.TEXT,
    'seed': kinds.whole(0),
    'test_error': kinds.PERCENT,
    'settled_epoch': kinds.AMOUNT,
    'confusions': kinds.list_of(
        kinds.Kind(
            lambda v: (
                isinstance(v, list | tuple)
                and len(v) == 3
                and kinds.TEXT.test(v[0])
                and kinds.TEXT.test(v[1])
                and kinds.whole(1).test(v[2])
            ),
            '',
        ),
        'a list of [class, other class, how often]',
    ),
}


def read_mistakes(path: str) -> list[dict[str, Any]]:
  """What `experiments.mistakes` wrote.

  Raises:
    UserError: if the file holds something else.
  """
  found = read_list(path)
  for index, one in enumerate(found):
    kinds.check(one, kinds.OBJECT, _place(path, index))
    kinds.check_keys(one, _OF_MISTAKES, _place(path, index), what='a network')
  return found


_OF_A_STAGE = {
    'norms': kinds.list_of(kinds.AMOUNT, 'a list of numbers from 0 up'),
    'shares': kinds.Kind(
        lambda v: isinstance(v, list) and bool(v) and all(map(kinds.POSITIVE.test, v)),
        'a list of numbers above 0, not empty',
    ),
    'predictions': kinds.AMOUNT,
    'multiscale': kinds.AMOUNT,
    'global': kinds.AMOUNT,
    'input_in_multiscale': kinds.AMOUNT,
    'input_in_global': kinds.AMOUNT,
}


def check_proposition(measured: Any, where: str) -> dict[str, Any]:
  """Checks what `experiments.proposition_1` measures of a run.

  Returns:
    The content as it was given.

  Raises:
    UserError: one line that names the place, the key and what is allowed.
  """
  stages = ('initial', 'trained')
  kinds.check(measured, kinds.OBJECT, where)
  wanted = {'num_layers': kinds.whole(1), **dict.fromkeys(stages, kinds.OBJECT)}
  kinds.check_keys(measured, wanted, where, what='a run')
  for stage in stages:
    kinds.check_keys(measured[stage], _OF_A_STAGE, f'{where}: {stage}', what='a run')
  return measured


def read_propositions(path: str) -> list[dict[str, Any]]:
  """The runs of the result file of `experiments.proposition_1`.

  Raises:
    UserError: if the file holds something else.
  """
  runs = read_runs(path)
  for index, run in enumerate(runs):
    check_proposition(run.get('proposition_1'), f'{_place(path, index)}: proposition_1')
  return runs


_OF_A_RATE = {
    'learning_rate': kinds.POSITIVE,
    'diverged': kinds.OBJECT,
    'seed': kinds.whole(0),
    'command': kinds.TEXT,
}


def read_learning_rate(path: str) -> dict[str, Any]:
  """The learning rate that `experiments.sweep` selected for a setting.

  Raises:
    UserError: if the file holds something else.
  """
  content = files.read_json(path)
  kinds.check(content, kinds.OBJECT, path)
  kinds.check_keys(content, _OF_A_RATE, path)
  return content


def read_metrics(
    folder: str, seed: int | None = None, keys: Sequence[str] = ()
) -> list[dict[str, Any]]:
  """The records of a run's `metrics.jsonl`, at least one.

  Args:
    folder: the run's.
    seed: see `writers.read`.
    keys: of scalars that every record must hold.

  Raises:
    UserError: if there are none, or they are something else.
  """
  path = os.path.join(folder, METRICS)
  lines = writers.read(folder, seed)
  if not lines:
    raise UserError(f'{path}: holds no record')
  scalars = dict.fromkeys(keys, kinds.ANY)  # of what kind, `kinds.SCALARS` says
  for number, line in enumerate(lines):
    where = f'{path}: record {number + 1}'
    kinds.check(line, kinds.SCALARS, where)
    kinds.check_keys(line, {'step': kinds.whole(0), 'epoch': kinds.AMOUNT} | scalars, where)
  return lines


def is_finished(folder: str) -> bool:
  """Whether a folder holds a summary, which `read_summary` checks."""
  return os.path.lexists(os.path.join(folder, SUMMARY))
