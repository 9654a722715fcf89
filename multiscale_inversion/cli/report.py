"""Compare finished runs: `multiscale-inversion report DIR...`.

Each DIR is a run's folder, or a folder that holds such folders. A Markdown table has a line for
each run, the lowest test error first: data, labels, network, objective, seed, test error, the mean
of the classes' test errors, epochs and seconds. Differences of the configurations that no column
shows are named below it. In a checkout, `python -m experiments.report` draws figures and makes the
pages' tables.
Exit status: 0 done, 2 wrong input.
"""

import os
from collections.abc import Iterator, Sequence

from multiscale_inversion.errors import UserError
from multiscale_inversion.runs.config import flatten
from multiscale_inversion.runs.finished import FinishedRun
from multiscale_inversion.runs.folder import RunFolder
from multiscale_inversion.text import table_cell

_COLUMNS = (
    'run', 'data', 'labels', 'network', 'objective', 'seed', 'test error, %',
    'balanced, %', 'epochs', 's',
)
# Keys of the configuration that the table shows, or that change no result.
_SHOWN = (
    'data.name', 'data.data_dir', 'data.num_labeled', 'network.name', 'objective.name', 'seed',
    'num_seeds', 'num_epochs', 'checkpoint_every_seconds', 'log_every_steps', 'eval_batch_size',
    'eval_every_epochs', 'eval_every_steps', 'keep_best',
)


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  if not argv[1:]:
    raise UserError("which runs? allowed: runs' folders, or folders that hold some")
  runs = [
      (folder, one)
      for given in argv[1:]
      for folder in _folders(os.path.expanduser(given))
      for one in RunFolder(folder).summary().single_runs()
  ]
  runs.sort(key=lambda pair: (pair[1].test_error is None, pair[1].test_error or 0.0))
  print(_table([_COLUMNS, *(_row(folder, run) for folder, run in runs)]))
  different = _differences([run for _, run in runs])
  if different:
    print('\n'.join(['', 'The configurations also differ in:', '', *different]))
  return 0


def _folders(given: str) -> Iterator[str]:
  """Yield the finished runs' folders in a folder, which may be one."""
  if RunFolder(given).is_finished() or not os.path.isdir(given):
    yield given
    return
  found = False
  for where, inside, _ in os.walk(given):
    inside.sort()
    if RunFolder(where).is_finished():
      inside.clear()
      found = True
      yield where
  if not found:
    raise UserError(f'{given}: holds no finished run')


def _row(folder: str, run: FinishedRun) -> tuple[str, ...]:
  error = '-' if run.test_error is None else f'{run.test_error:.2f}'
  return (
      folder,
      run.dataset,
      str(run.num_labeled),
      run.network,
      run.objective,
      str(run.seed),
      error,
      '-' if run.balanced_error is None else f'{run.balanced_error:.2f}',
      f'{run.num_epochs:.4g}',
      f'{run.wall_time_s:.0f}',
  )


def _table(rows: Sequence[Sequence[str]]) -> str:
  """Return a Markdown table; the first row holds the names of the columns."""
  rows = [[*map(table_cell, row)] for row in rows]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = [
      '| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + ' |'
      for row in rows
  ]
  rule = '| ' + ' | '.join('-' * width for width in widths) + ' |'
  return '\n'.join([lines[0], rule, *lines[1:]])


def _differences(runs: Sequence[FinishedRun]) -> list[str]:
  """Return a list in Markdown of the keys in which the configurations differ."""
  flat = [flatten(run.configuration) for run in runs]
  keys = sorted({key for one in flat for key in one} - {*_SHOWN})
  found = []
  for key in keys:
    values = list(dict.fromkeys(str(one.get(key)) for one in flat))
    if len(values) > 1:
      found.append(f'- {key}: {" or ".join(values)}')
  return found
