"""Result files: JSON lists of finished runs and of what studies measured, checked when read."""

import dataclasses
import os
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from multiscale_inversion import files
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import kinds
from multiscale_inversion.runs.finished import FinishedRun
from multiscale_inversion.runs.folder import RunFolder

# The ends of the names of files that hold no runs.
_OF_STUDIES = ('_mistakes.json', '_classical.json')


def read_runs(path: str) -> list[FinishedRun]:
  """Return the runs of a run's folder or a result file, one for each seed.

  Raises:
    UserError: if there are none, such as in the folder of an unfinished run.
  """
  if os.path.isdir(path):
    return RunFolder(path).summary().single_runs()
  runs = [FinishedRun.from_json(run, where) for where, run in read_list(path)]
  return [single for run in runs for single in run.single_runs()]


def read_all(paths: Sequence[str]) -> list[FinishedRun]:
  """Return the runs of several folders and files; see `read_runs`."""
  return [run for path in paths for run in read_runs(path)]


def read_folder(folder: str) -> list[FinishedRun]:
  """Return the runs of all result files in a folder, such as `results/`.

  Raises:
    UserError: if it cannot be listed; and see `read_runs`.
  """
  try:
    names = sorted(name for name in os.listdir(folder) if name.endswith('.json'))
  except OSError as error:
    raise UserError(f'{folder}: not a folder of result files: {error.strerror}') from error
  return read_all([
      os.path.join(folder, name)
      for name in names
      if not name.startswith('benchmark_') and not name.endswith(_OF_STUDIES)
  ])


def read_list(path: str) -> list[tuple[str, Any]]:
  """Return the entries of a result file, each with its place for error messages.

  The file holds a JSON list that is not empty, or one object alone.

  Raises:
    UserError: if it holds something else.
  """
  content = files.read_json(path)
  content = [content] if isinstance(content, dict) else content
  if not isinstance(content, list):
    raise UserError(f'{path}: {reprlib.repr(content)}; allowed: a JSON list of runs')
  if not content:
    raise UserError(f'{path}: holds no run')
  return [(f'{path}: run {index + 1}', entry) for index, entry in enumerate(content)]


def _is_confusion(value: Any) -> bool:
  return (
      isinstance(value, list | tuple)
      and len(value) == 3
      and all(map(kinds.TEXT.test, value[:2]))
      and kinds.whole(1).test(value[2])
  )


_IN_MISTAKES = {
    'objective': kinds.TEXT,
    'seed': kinds.whole(0),
    'test_error': kinds.PERCENT,
    'settled_epoch': kinds.AMOUNT,
    'confusions': kinds.list_of(
        kinds.Kind(_is_confusion, ''), 'a list of [class, other class, how often]'
    ),
}


@dataclasses.dataclass(frozen=True)
class Mistakes:
  """The mistakes of one network on the test images; see `experiments.mistakes`.

  Attributes:
    objective: its name in tables.
    seed: the seed.
    test_error: in percent.
    settled_epoch: the epoch from which on the test error stays within a point of the last one.
    confusions: (class, class that is predicted instead, number of images), most frequent first.
    origin: where it comes from: `num_labeled`, `versions`, `commit`, `hardware`, `command`.
  """

  objective: str
  seed: int
  test_error: float
  settled_epoch: float
  confusions: tuple[tuple[str, str, int], ...]
  origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def to_json(self) -> dict[str, Any]:
    """Return the entry of a result file."""
    own = {name: getattr(self, name) for name in _IN_MISTAKES}
    return {**own, 'confusions': [list(one) for one in self.confusions], **self.origin}


def read_mistakes(path: str) -> list[Mistakes]:
  """Return what `experiments.mistakes` wrote.

  Raises:
    UserError: if the file holds something else.
  """
  found = []
  for where, one in read_list(path):
    kinds.check(one, kinds.OBJECT, where)
    kinds.check_keys(one, _IN_MISTAKES, where, what='a network')
    own = {name: one[name] for name in _IN_MISTAKES}
    own['confusions'] = tuple(map(tuple, own['confusions']))
    found.append(Mistakes(**own))
  return found


_SHARES = kinds.Kind(
    lambda v: isinstance(v, list) and bool(v) and all(map(kinds.POSITIVE.test, v)),
    'a list of numbers above 0, not empty',
)
# By the key of the JSON object, which is a field's name but for a Python keyword.
_IN_STAGE = {
    'norms': kinds.list_of(kinds.AMOUNT, 'a list of numbers from 0 up'),
    'shares': _SHARES,
    'predictions': kinds.AMOUNT,
    'multiscale': kinds.AMOUNT,
    'global': kinds.AMOUNT,
    'input_in_multiscale': kinds.AMOUNT,
    'input_in_global': kinds.AMOUNT,
}


@dataclasses.dataclass(frozen=True)
class Stage:
  """Norms of the gradients of a network before or after training, means over batches.

  Attributes:
    norms: of the terms of the layers 0 to L - 1.
    shares: the parts of these in their sum.
    predictions, multiscale, global_: see `GradientNorms`.
    input_in_multiscale: the norm of layer 0's term, divided by that of the whole loss's gradient.
      It may be above 1, since terms may cancel.
    input_in_global: the same for the global loss at the same parameters.
  """

  norms: tuple[float, ...]
  shares: tuple[float, ...]
  predictions: float
  multiscale: float
  global_: float
  input_in_multiscale: float
  input_in_global: float

  def to_json(self) -> dict[str, Any]:
    """Return the JSON object."""
    found = {key: getattr(self, _field(key)) for key in _IN_STAGE}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in found.items()}


def _field(key: str) -> str:
  return 'global_' if key == 'global' else key


@dataclasses.dataclass(frozen=True)
class Proposition:
  """The measurement of `experiments.proposition_1` on a finished run.

  Attributes:
    num_layers: L.
    initial, trained: before and after training.
  """

  num_layers: int
  initial: Stage
  trained: Stage

  def to_json(self) -> dict[str, Any]:
    """Return the JSON object."""
    stages = {'initial': self.initial.to_json(), 'trained': self.trained.to_json()}
    return {'num_layers': self.num_layers, **stages}

  @classmethod
  def from_json(cls, content: Any, where: str) -> 'Proposition':
    """Check a JSON object, and return it as a measurement.

    Raises:
      UserError: one line that names the place, the key and what is allowed.
    """
    kinds.check(content, kinds.OBJECT, where)
    wanted = {'num_layers': kinds.whole(1), 'initial': kinds.OBJECT, 'trained': kinds.OBJECT}
    kinds.check_keys(content, wanted, where, what='a run')
    stages = []
    for name in ('initial', 'trained'):
      kinds.check_keys(content[name], _IN_STAGE, f'{where}: {name}', what='a run')
      values: dict[str, Any] = {_field(key): content[name][key] for key in _IN_STAGE}
      for key in ('norms', 'shares'):
        values[key] = tuple(values[key])
      stages.append(Stage(**values))
    return cls(content['num_layers'], *stages)


class MeasuredRun(NamedTuple):
  """A finished run and its measurement."""

  run: FinishedRun
  proposition: Proposition


def read_propositions(path: str) -> list[MeasuredRun]:
  """Return the runs in the result file of `experiments.proposition_1`.

  Raises:
    UserError: if the file holds something else.
  """
  key, found = 'proposition_1', []
  for index, run in enumerate(read_runs(path)):
    where = f'{path}: run {index + 1}: {key}'
    found.append(MeasuredRun(run, Proposition.from_json(run.more.get(key), where)))
  return found


class RobustRun(NamedTuple):
  """A finished run and its test error on images corrupted as its training images are.

  Attributes:
    run: the run of one seed; its `test_error` is that on the test images as they are.
    corrupted_test_error: in percent.
  """

  run: FinishedRun
  corrupted_test_error: float

  def to_json(self) -> dict[str, Any]:
    """Return the entry of a result file."""
    return {**self.run.to_json(), 'corrupted_test_error': self.corrupted_test_error}


def read_robust(path: str) -> list[RobustRun]:
  """Return the runs in the result file of `experiments.robustness`.

  Raises:
    UserError: if the file holds something else.
  """
  key, found = 'corrupted_test_error', []
  for index, run in enumerate(read_runs(path)):
    kinds.check_keys(run.more, {key: kinds.PERCENT}, f'{path}: run {index + 1}', what='a run')
    found.append(RobustRun(run, run.more[key]))
  return found
