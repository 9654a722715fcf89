"""What `experiments.classical` measured: its result file and its table."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

from experiments.reporting import tables
from experiments.reporting.results import read_list
from multiscale_inversion.runs import kinds

_KINDS = {
    'method': kinds.TEXT,
    'seed': kinds.whole(0),
    'test_error': kinds.PERCENT,
    'dataset': kinds.NAME,
    'num_labeled': kinds.whole(1),
    'wall_time_s': kinds.AMOUNT,
}


@dataclasses.dataclass(frozen=True)
class ClassicalResult:
  """The test error of one of scikit-learn's classifiers.

  Attributes:
    method: its name.
    seed: by which the labeled images were drawn.
    test_error: in percent, of all test images.
    dataset: the data set's name.
    num_labeled: number of labeled training images.
    wall_time_s: seconds of fitting and of classifying the test images.
    origin: where it comes from: `options`, `command`, `hardware`, `versions`, `commit`.
  """

  method: str
  seed: int
  test_error: float
  dataset: str
  num_labeled: int
  wall_time_s: float
  origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def key(self) -> tuple[str, str, int, int]:
    """Return what a file holds one result for."""
    return self.method, self.dataset, self.num_labeled, self.seed

  def to_json(self) -> dict[str, Any]:
    """Return the entry of a result file."""
    return {**{name: getattr(self, name) for name in _KINDS}, **self.origin}


def read_results(path: str) -> list[ClassicalResult]:
  """Return what `experiments.classical` wrote.

  Raises:
    UserError: if the file holds something else.
  """
  found = []
  for where, one in read_list(path):
    kinds.check(one, kinds.OBJECT, where)
    kinds.check_keys(one, _KINDS, where, what='a result')
    origin = {key: value for key, value in one.items() if key not in _KINDS}
    found.append(ClassicalResult(**{key: one[key] for key in _KINDS}, origin=origin))
  return found


def of_results(results: list[ClassicalResult]) -> str:
  """Return a table with one line for each data set, number of labels and method."""
  groups = collections.defaultdict(list)
  for one in results:
    groups[one.dataset, one.num_labeled, one.method].append(one)
  rows = [
      (
          dataset,
          labels,
          method.replace('_', ' '),
          tables.mean_and_deviation([one.test_error for one in group]),
          f'{sum(one.wall_time_s for one in group) / len(group):.1f}',
          len(group),
      )
      for (dataset, labels, method), group in groups.items()
  ]
  head = ['data set', 'labels', 'method', 'test error, % (mean ± std)', 'seconds', 'seeds']
  return tables.markdown(head, rows)
