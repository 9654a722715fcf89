"""Make the table of the study of robustness: errors on clean and on corrupted test images."""

from collections.abc import Sequence

from experiments.reporting import corruptions, grouping
from experiments.reporting.results import RobustRun
from experiments.reporting.tables import markdown, mean_and_deviation
from experiments.studies.settings import LEVELS

# (corruption, L, objective) -> the runs, one for each seed
Groups = dict[tuple[str, int, str], list[RobustRun]]


def grouped(measured: Sequence[RobustRun]) -> Groups:
  """Group runs by corruption, number of layers and objective."""
  return corruptions.grouped(
      measured,
      lambda one: (
          corruptions.of_run(one.run), num_layers(one), grouping.objective_name(one.run),
      ),
  )


def num_layers(one: RobustRun) -> int:
  """Return L, the number of layers whose reconstruction a run records."""
  return sum(name.startswith('train/reconstruction/') for name in one.run.train or ())


def of_runs(measured: Sequence[RobustRun]) -> str:
  """Return the table: for each corruption and depth, each objective's two errors."""
  groups = grouped(measured)
  objectives = sorted({objective for *_, objective in groups})
  names = corruptions.in_order((name for name, *_ in groups), LEVELS)
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


def _errors(runs: Sequence[RobustRun]) -> tuple[str, str]:
  if not runs:
    return '-', '-'
  clean = mean_and_deviation([one.run.error for one in runs])
  return clean, mean_and_deviation([one.corrupted_test_error for one in runs])
