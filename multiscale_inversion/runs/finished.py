"""A finished run: the content of its `summary.json`, checked when it is read."""

import dataclasses
import functools
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from multiscale_inversion import quality
from multiscale_inversion.errors import HUGE, UserError
from multiscale_inversion.runs import defaults, kinds
from multiscale_inversion.runs.config import from_record
from multiscale_inversion.runs.defaults import Key

_FOLDER_FLAGS = ('workdir', 'config.data.data_dir')
_DATA_DIR = re.compile(r'(data\.data_dir=)[^,]+')  # inside the value of `--set`
_SECTIONS = ('data', 'network', 'objective')
# The numbers of a recorded configuration are finite; a function is there by its description.
_OF_TYPE = kinds.OF_TYPE | {
    int: kinds.whole(-HUGE),
    float: kinds.number(),
    tuple: kinds.list_of(kinds.number(), 'a list of numbers'),
    object: kinds.TEXT,
}
_ERROR = kinds.Kind(
    lambda v: v is None or kinds.PERCENT.test(v), f'{kinds.PERCENT.words}; null without test images'
)
_SEEDS = kinds.Kind(lambda v: isinstance(v, list) and bool(v), 'a list that is not empty')
_TEXTS = kinds.list_of(kinds.TEXT, 'a list of strings')
_COUNTS = kinds.list_of(kinds.whole(0), 'a list of whole numbers from 0 up')
_MATRIX = kinds.Kind(
    lambda v: isinstance(v, list | tuple)
    and all(map(_COUNTS.test, v))
    and {len(row) for row in v} == {len(v)},
    'a square matrix of whole numbers from 0 up',
)
_SIZES = kinds.list_of(kinds.whole(1), 'a list of whole numbers from 1 up')


def _key(kind: kinds.Kind, **default: Any) -> Any:
  """Return a field for a key of the JSON object, required unless it has a default."""
  return dataclasses.field(metadata={'kind': kind}, **default)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeedResult:
  """What the run of one seed reached.

  Attributes:
    seed: the seed.
    test_error: in percent, after the last epoch; None without test images.
    train: the last means of the training's scalars by name; None in runs of early versions.
    validation_error: in percent, after the last epoch; None without validation images.
    best: the evaluation with the lowest validation error, see `kept.Best`; None likewise.
    confusion: test images of each class (row) by the predicted class (column), after the last
      epoch; None without test images, with more than 100 classes, and in runs of early versions.
  """

  seed: int = _key(kinds.whole(0))
  test_error: float | None = _key(_ERROR)
  train: Mapping[str, float | None] | None = _key(kinds.SCALARS, default=None)
  validation_error: float | None = _key(_ERROR, default=None)
  best: Mapping[str, float | None] | None = _key(kinds.SCALARS, default=None)
  confusion: Sequence[Sequence[int]] | None = _key(_MATRIX, default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinishedRun:
  """A finished run of one seed, or of several seeds in one program.

  Attributes:
    test_error: in percent, after the last epoch; the mean over the seeds; None without test images.
    dataset: its name.
    network: its name.
    objective: its name.
    num_labeled: number of labeled training images.
    seed: the seed; of several, the first.
    num_parameters: of the network.
    num_steps: length of the training.
    num_epochs: the same in epochs.
    wall_time_s: seconds that training and evaluation took.
    train: as `SeedResult.train`; the means over the seeds.
    validation_error: as `SeedResult.validation_error`; the mean over the seeds.
    best: as `SeedResult.best`; None for several seeds, which have one each.
    confusion: as `SeedResult.confusion`; None for several seeds, which have one each.
    stopped_early: True where `patience` ended the training before its length; else None.
    test_error_std: sample standard deviation over the seeds, in percent; None for a single seed.
    seeds_mode: how the seeds shared a program; None for a single seed.
    wall_time_shared_by: number of seeds that share `wall_time_s`; None for a single seed.
    seeds: each seed's own result; empty for a single seed.
    class_names: of the data set; None in runs of early versions.
    image_shape: likewise.
    skipped_images: likewise.
    command: the command that started the run.
    config: the resolved configuration as `config.json` has it.
    hardware: see `environment`.
    versions: of the packages, see `environment`.
    commit: see `environment.revision`.
    commit_dirty: whether files differed from it.
    more: keys that studies or later versions have added.
  """

  test_error: float | None = _key(_ERROR)
  dataset: str = _key(kinds.NAME)
  network: str = _key(kinds.NAME)
  objective: str = _key(kinds.NAME)
  num_labeled: int = _key(kinds.whole(0))
  seed: int = _key(kinds.whole(0))
  num_parameters: int = _key(kinds.whole(0, 2**63 - 1))
  num_steps: int = _key(kinds.whole(1))
  num_epochs: float = _key(kinds.POSITIVE)
  wall_time_s: float = _key(kinds.AMOUNT)
  train: Mapping[str, float | None] | None = _key(kinds.SCALARS, default=None)
  validation_error: float | None = _key(_ERROR, default=None)
  best: Mapping[str, float | None] | None = _key(kinds.SCALARS, default=None)
  confusion: Sequence[Sequence[int]] | None = _key(_MATRIX, default=None)
  stopped_early: bool | None = _key(kinds.BOOLEAN, default=None)
  test_error_std: float | None = _key(kinds.AMOUNT, default=None)
  seeds_mode: str | None = _key(kinds.TEXT, default=None)
  wall_time_shared_by: int | None = _key(kinds.whole(1), default=None)
  seeds: tuple[SeedResult, ...] = _key(_SEEDS, default=())
  class_names: tuple[str, ...] | None = _key(_TEXTS, default=None)
  image_shape: tuple[int, ...] | None = _key(_SIZES, default=None)
  skipped_images: int | None = _key(kinds.whole(0), default=None)
  command: str = _key(kinds.TEXT)
  config: Mapping[str, Any] = _key(kinds.OBJECT)
  hardware: Mapping[str, Any] = _key(kinds.OBJECT)
  versions: Mapping[str, Any] = _key(kinds.OBJECT)
  commit: str | None = _key(kinds.ANY, default=None)
  commit_dirty: bool | None = _key(kinds.ANY, default=None)
  more: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def error(self) -> float:
    """The test error in percent.

    Raises:
      UserError: if the run had no test images.
    """
    if self.test_error is None:
      raise UserError(f'{self.dataset}, seed {self.seed}: a run without test images has no error')
    return self.test_error

  @property
  def balanced_error(self) -> float | None:
    """The mean of the classes' test errors in percent; None where `confusion` is."""
    return None if self.confusion is None else quality.balanced_error(np.array(self.confusion))

  @functools.cached_property
  def configuration(self) -> ConfigDict:
    """The configuration; keys younger than the run have their defaults. Not to be changed."""
    return from_record(self.config)

  def single_runs(self) -> 'list[FinishedRun]':
    """Return one run for each seed; a run of a single seed is returned as it is.

    Each has the test error and the scalars of its own seed. The configuration stays that of the
    program that ran, with its first seed and their number, and so does `wall_time_s`, which
    `wall_time_shared_by` seeds share.
    """
    if not self.seeds:
      return [self]
    shared = self.wall_time_shared_by or len(self.seeds)
    return [
        dataclasses.replace(
            self,
            seed=own.seed,
            test_error=own.test_error,
            train=own.train,
            validation_error=own.validation_error,
            best=own.best,
            confusion=own.confusion,
            test_error_std=None,
            seeds=(),
            wall_time_shared_by=shared,
        )
        for own in self.seeds
    ]

  def public(self) -> 'FinishedRun':
    """Return the run without the folders of the machine on which it ran."""
    config = {**self.config, 'data': {**self.config['data'], 'data_dir': None}}
    return dataclasses.replace(self, config=config, command=public_command(self.command))

  def to_json(self) -> dict[str, Any]:
    """Return the content of `summary.json`."""
    always = ('test_error', 'commit', 'commit_dirty')
    found = {
        field.name: getattr(self, field.name)
        for field in _fields(FinishedRun)
        if getattr(self, field.name) not in (None, ()) or field.name in always
    }
    if self.seeds:
      found['seeds'] = [
          {k: v for k, v in dataclasses.asdict(own).items() if v is not None or k == 'test_error'}
          for own in self.seeds
      ]
    return {key: list(v) if isinstance(v, tuple) else v for key, v in found.items()} | dict(
        self.more
    )

  @classmethod
  def from_json(cls, content: Any, where: str) -> 'FinishedRun':
    """Check the content of a `summary.json`, and return it as a run.

    Args:
      content: as read from JSON.
      where: the place that it was read from, for the message.

    Raises:
      UserError: one line that names the place, the key and what is allowed.
    """
    found = _checked(cls, content, where, 'a run')
    found['seeds'] = tuple(
        SeedResult(**_checked(SeedResult, own, f'{where}: seeds', 'a seed'))
        for own in found.get('seeds', ())
    )
    check_config(found['config'], f'{where}: config')
    for name in ('class_names', 'image_shape'):
      if name in found:
        found[name] = tuple(found[name])
    return cls(**found, more={key: content[key] for key in content if key not in found})


def _fields(kind: type) -> list[dataclasses.Field]:
  """Return the fields that are keys of the JSON object."""
  return [field for field in dataclasses.fields(kind) if 'kind' in field.metadata]


def _checked(kind: type, content: Any, where: str, what: str) -> dict[str, Any]:
  """Return the values of a JSON object that are fields of a dataclass, each checked."""
  kinds.check(content, kinds.OBJECT, where)
  required = {
      field.name: field.metadata['kind']
      for field in _fields(kind)
      if field.default is dataclasses.MISSING
  }
  kinds.check_keys(content, required, where, what)
  present = {f.name: f.metadata['kind'] for f in _fields(kind) if f.name in content}
  kinds.check_keys(content, present, where)
  return {name: content[name] for name in present}


def check_config(config: dict[str, Any], where: str) -> None:
  """Check the values of a recorded configuration by the types of the defaults.

  Keys may be missing, because they are younger than the run, or unknown, from a later version.

  Args:
    config: as read from JSON.
    where: the place that it was read from, for the message.

  Raises:
    UserError: one line that names the place, the key and what is allowed.
  """
  for section in _SECTIONS:
    if section not in config:
      raise UserError(f'{where}: lacks {section}')
  known = defaults.keys()
  sections = {key.partition('.')[0] for key in known if '.' in key}
  for key, value in config.items():
    if key in sections:
      kinds.check(value, kinds.OBJECT, f'{where}.{key}')
      for name, inner in value.items():
        _check_value(known.get(f'{key}.{name}'), name, inner, f'{where}.{key}.{name}')
    else:
      _check_value(known.get(key), key, value, f'{where}.{key}')


def _check_value(key: Key | None, name: str, value: Any, where: str) -> None:
  if not name or '.' in name:
    raise UserError(f'{where}: {name!r} is not the name of a key')
  if key is None:
    kinds.check(value, kinds.Kind(lambda v: not isinstance(v, dict), 'no object'), where)
  elif value is not None or (key.declared and key.declared.default is not None):
    kinds.check(value, _kind(key), where)


def _kind(key: Key) -> kinds.Kind:
  """Return the kind of values that a key has in a recorded configuration."""
  types = key.types()
  if types == (tuple,) and any(option.elements is str for option in key.all()):
    return _TEXTS
  return _OF_TYPE[types[0] if len(types) == 1 else object]


def public_command(command: str) -> str:
  """Return a command without the folders of the machine."""
  found, hide_next = [], False
  for argument in shlex.split(command):
    flag, separator, value = argument.partition('=')
    if flag.lstrip('-') in _FOLDER_FLAGS:
      found.append(f'{flag}=DIR' if separator else flag)
      hide_next = not separator
      continue
    path = value if separator else argument
    if hide_next:
      found.append('DIR')
    elif os.path.isabs(os.path.expanduser(path)):
      found.append(flag + separator + os.path.basename(path) if separator else 'DIR')
    else:
      found.append(_DATA_DIR.sub(r'\1DIR', argument))
    hide_next = False
  return shlex.join(found)
