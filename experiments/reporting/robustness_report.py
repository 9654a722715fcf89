"""Make the table of the study of robustness: errors on clean and on corrupted test images."""

import collections
from collections.abc import Sequence

from experiments.reporting import grouping
from experiments.reporting.results import RobustRun
from experiments.reporting.tables import markdown, mean_and_deviation
from experiments.studies.settings import LEVELS, corruption_name

_ORDER = [corruption_name(*corruption) for corruption in LEVELS]

# (corruption, L, objective) -> the runs, one for each seed
Groups = dict[tuple[str, int, str], list[RobustRun]]


def grouped(measured: Sequence[RobustRun]) -> Groups:
  """Group runs by corruption, number of layers and objective."""
  groups = collections.defaultdict(list)
  for one in measured:
    data = one.run.configuration.data
    name = corruption_name(data.corruption, data.corruption_level)
    groups[name, num_layers(one), grouping.objective_name(one.run)].append(one)
  return dict(groups)


def num_layers(one: RobustRun) -> int:
  """Return L, the number of layers whose reconstruction a run records."""
  return sum(name.startswith('train/reconstruction/') for name in one.run.train or ())


def of_runs(measured: Sequence[RobustRun]) -> str:
  """Return the table: for each corruption and depth, each objective's two errors."""
  groups = grouped(measured)
  objectives = sorted({objective for *_, objective in groups})
  names = sorted({name for name, *_ in groups}, key=_rank)
  head = ['training images', 'L']
  for objective in objectives:
    head += [f'{objective}: clean, %', 'corrupted, %']
  rows = []
  for name in names:
    for depth in sorted({depth for found, depth, _ in groups if found == name}):
      row = [name.replace('_', ' '), depth]
      for objective in objectives:
        row += _errors(groups.get((name, depth, objective), ()))
      rows.append(row)
  seeds = sorted({one.run.seed for one in measured})
  return f'{markdown(head, rows)}\nSeeds: {", ".join(map(str, seeds))}\n'


def _rank(name: str) -> tuple[int, str]:
  return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _errors(runs: Sequence[RobustRun]) -> tuple[str, str]:
  if not runs:
    return '-', '-'
  clean = mean_and_deviation([one.run.error for one in runs])
  return clean, mean_and_deviation([one.corrupted_test_error for one in runs])
