"""Reads what finished runs left behind, each value checked before anything is made of it."""

import os
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments import defaults, records
from multiscale_inversion import files, writers
from multiscale_inversion.errors import HUGE, UserError
from multiscale_inversion.runs.folder import METRICS, SUMMARY

_LARGE = 1e300  # less than the greatest float: sums of such numbers are none of infinity


class _Kind(NamedTuple):
  """What a value may be: a test, and words for it."""

  test: Callable[[Any], bool]
  words: str


def _whole(low: int, high: int = HUGE) -> _Kind:
  test = lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high
  return _Kind(test, f'a whole number from {low} to {high}')


def _number(low: float = -_LARGE, high: float = _LARGE, words: str = 'a number') -> _Kind:
  test = lambda v: isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high
  return _Kind(test, words)


def _list_of(kind: _Kind, words: str) -> _Kind:
  return _Kind(lambda v: isinstance(v, list | tuple) and all(map(kind.test, v)), words)


_BOOLEAN = _Kind(lambda v: isinstance(v, bool), 'true or false')
_TEXT = _Kind(lambda v: isinstance(v, str), 'a string')
_NAME = _Kind(lambda v: isinstance(v, str) and bool(v), 'a string that is not empty')
_OBJECT = _Kind(lambda v: isinstance(v, dict), 'an object')
_ANY_NUMBER = _Kind(lambda v: isinstance(v, int | float) and not isinstance(v, bool), 'a number')
_PERCENT = _number(0, 100, 'a number from 0 to 100')
_AMOUNT = _number(0, words='a number from 0 up')
_POSITIVE = _number(1e-300, words='a number above 0')
_SCALARS = _Kind(
    lambda v: isinstance(v, dict) and all(x is None or _ANY_NUMBER.test(x) for x in v.values()),
    'an object of numbers',
)

_REQUIRED = {
    'dataset': _NAME,
    'network': _NAME,
    'objective': _NAME,
    'num_labeled': _whole(0),
    'seed': _whole(0),
    'test_error': _PERCENT,
    'num_parameters': _whole(0, 2**63 - 1),
    'num_steps': _whole(1),
    'num_epochs': _POSITIVE,
    'wall_time_s': _AMOUNT,
    'command': _TEXT,
    'config': _OBJECT,
    'hardware': _OBJECT,
    'versions': _OBJECT,
}
# Of several seeds alone, or younger than the first runs.
_OPTIONAL = {
    'train': _SCALARS,
    'test_error_std': _AMOUNT,
    'seeds': _Kind(lambda v: isinstance(v, list) and bool(v), 'a list that is not empty'),
    'class_names': _list_of(_TEXT, 'a list of strings'),
    'image_shape': _list_of(_whole(1), 'a list of whole numbers from 1 up'),
    'skipped_images': _whole(0),
}
_OF_A_SEED = {'seed': _whole(0), 'test_error': _PERCENT}
_SECTIONS = ('data', 'network', 'objective')
_OF_TYPE = {
    bool: _BOOLEAN,
    int: _whole(-HUGE),
    float: _number(),
    str: _TEXT,
    tuple: _list_of(_number(), 'a list of numbers'),
    object: _TEXT,  # a function, by its description
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
  _check(content, _OBJECT, where)
  _check_keys(content, _REQUIRED, where, what='a run')
  _check_keys({k: v for k, v in content.items() if k in _OPTIONAL}, _OPTIONAL, where, some=True)
  for run in content.get('seeds', []):
    _check(run, _OBJECT, f'{where}: seeds')
    _check_keys(run, _OF_A_SEED, f'{where}: seeds', what='a seed')
  _check_config(content['config'], f'{where}: config')
  return content


def _check(value: Any, kind: _Kind, where: str) -> None:
  if not kind.test(value):
    raise UserError(f'{where}: {reprlib.repr(value)}; allowed: {kind.words}')


def _check_keys(
    content: Mapping[str, Any],
    kinds: Mapping[str, _Kind],
    where: str,
    what: str = '',
    some: bool = False,
) -> None:
  """Checks that an object has all (or `some`) of the keys, each with a value of its kind."""
  missing = [key for key in kinds if key not in content and not some]
  if missing:
    raise UserError(f'{where}: {what} lacks {", ".join(missing)}')
  for key, kind in kinds.items():
    if key in content:
      _check(content[key], kind, f'{where}: {key}')


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
      _check(value, _OBJECT, f'{where}.{key}')
      for name, inner in value.items():
        _check_value(known[key], name, inner, f'{where}.{key}.{name}')
    else:
      _check_value(known, key, value, f'{where}.{key}')


def _check_value(section: ConfigDict, name: str, value: Any, where: str) -> None:
  if not name or '.' in name:
    raise UserError(f'{where}: {name!r} is not the name of a key')
  if name not in section:
    _check(value, _Kind(lambda v: not isinstance(v, dict), 'no object'), where)
  elif value is not None or section[name] is not None:
    _check(value, _OF_TYPE[section.get_type(name)], where)


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
    'objective': _TEXT,
    'seed': _whole(0),
    'test_error': _PERCENT,
    'settled_epoch': _AMOUNT,
    'confusions': _list_of(
        _Kind(
            lambda v: (
                isinstance(v, list | tuple)
                and len(v) == 3
                and _TEXT.test(v[0])
                and _TEXT.test(v[1])
                and _whole(1).test(v[2])
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
    _check(one, _OBJECT, _place(path, index))
    _check_keys(one, _OF_MISTAKES, _place(path, index), what='a network')
  return found


_OF_A_STAGE = {
    'norms': _list_of(_AMOUNT, 'a list of numbers from 0 up'),
    'shares': _Kind(
        lambda v: isinstance(v, list) and bool(v) and all(map(_POSITIVE.test, v)),
        'a list of numbers above 0, not empty',
    ),
    'predictions': _AMOUNT,
    'multiscale': _AMOUNT,
    'global': _AMOUNT,
    'input_in_multiscale': _AMOUNT,
    'input_in_global': _AMOUNT,
}


def check_proposition(measured: Any, where: str) -> dict[str, Any]:
  """Checks what `experiments.proposition_1` measures of a run.

  Returns:
    The content as it was given.

  Raises:
    UserError: one line that names the place, the key and what is allowed.
  """
  stages = ('initial', 'trained')
  _check(measured, _OBJECT, where)
  kinds = {'num_layers': _whole(1), **dict.fromkeys(stages, _OBJECT)}
  _check_keys(measured, kinds, where, what='a run')
  for stage in stages:
    _check_keys(measured[stage], _OF_A_STAGE, f'{where}: {stage}', what='a run')
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
    'learning_rate': _POSITIVE,
    'diverged': _OBJECT,
    'seed': _whole(0),
    'command': _TEXT,
}


def read_learning_rate(path: str) -> dict[str, Any]:
  """The learning rate that `experiments.sweep` selected for a setting.

  Raises:
    UserError: if the file holds something else.
  """
  content = files.read_json(path)
  _check(content, _OBJECT, path)
  _check_keys(content, _OF_A_RATE, path, what='it')
  return content


def read_metrics(folder: str, seed: int | None = None) -> list[dict[str, Any]]:
  """The records of a run's `metrics.jsonl`, at least one; see `writers.read`.

  Raises:
    UserError: if there are none, or they are something else.
  """
  path = os.path.join(folder, METRICS)
  lines = writers.read(folder, seed)
  if not lines:
    raise UserError(f'{path}: holds no record')
  for number, line in enumerate(lines):
    where = f'{path}: record {number + 1}'
    _check(line, _SCALARS, where)
    _check_keys(line, {'step': _whole(0), 'epoch': _AMOUNT}, where, what='it')
  return lines


def is_finished(folder: str) -> bool:
  """Whether a folder holds a summary, which `read_summary` checks."""
  return os.path.lexists(os.path.join(folder, SUMMARY))
