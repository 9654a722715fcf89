"""Make tables in Markdown, of runs, their differences and their mistakes; renew those of a page."""

import os
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from experiments.reporting import grouping
from experiments.reporting.comparison import compare
from experiments.reporting.results import Mistakes
from multiscale_inversion import files
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs.finished import FinishedRun
from multiscale_inversion.text import table_cell

_ADDED = '+multiscale'
_SHOWN = 3  # confusions of a network


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
  """Return a Markdown table with one line for each row, whatever the cells hold."""
  lines = [head, ['---'] * len(head), *rows]
  return ''.join('| ' + ' | '.join(map(table_cell, line)) + ' |\n' for line in lines)


def mean_and_deviation(values: Sequence[float]) -> str:
  """Return the mean and, for several values, the sample standard deviation."""
  spread = f' ± {statistics.stdev(values):.2f}' if len(values) > 1 else ''
  return f'{statistics.mean(values):.2f}{spread}'


def _errors(group: Sequence[FinishedRun]) -> str:
  return mean_and_deviation([run.error for run in group])


def of_runs(runs: Sequence[FinishedRun]) -> str:
  """Return a table of test errors; runs that differ in their seeds only share a row.

  If rows differ in more than their names show, a column lists the differences.
  """
  head, rows, by_seed = _rows(runs)
  lines = [(*row, errors) for row, errors in zip(rows, by_seed, strict=True)]
  return markdown([*head, 'by seed'], lines)


def of_errors(runs: Sequence[FinishedRun]) -> str:
  """Return the table of `of_runs` without the errors of each seed, for a page that is short."""
  head, rows, _ = _rows(runs)
  return markdown(head, rows)


def for_page(runs: Sequence[FinishedRun]) -> str:
  """Return the table of `of_runs` for a page, with the errors of each seed folded away."""
  head, rows, by_seed = _rows(runs)
  # What tells rows apart: the objective with its changes, and the network where there are several.
  first = 2 if len({row[2] for row in rows}) > 1 else 3
  names = [' / '.join(map(str, row[first:-2])).rstrip(' /') for row in rows]
  folded = markdown([' / '.join(head[first:4]), 'by seed'], zip(names, by_seed, strict=True))
  return (
      f'{markdown(head, rows)}\n<details><summary>Each seed</summary>\n\n{folded}\n</details>\n'
  )


def _rows(
    runs: Sequence[FinishedRun],
) -> tuple[list[str], list[tuple[Any, ...]], list[str]]:
  """Return the head and the rows of the table of runs, and the errors of each row by seed."""
  groups = grouping.by_setting(runs)
  changes = grouping.differences([grouping.setting(group[0]) for group in groups])
  rows, by_seed = [], []
  for group, change in zip(groups, changes, strict=True):
    run = group[0]
    rows.append((
        grouping.dataset_name(run),
        run.num_labeled,
        grouping.network_name(run),
        grouping.objective_name(run),
        *([change] if any(changes) else []),
        f'{run.num_epochs:.4g}',
        _errors(group),
    ))
    by_seed.append(', '.join(f'{one.seed}: {one.error:.2f}' for one in group))
  changed = ['changes'] if any(changes) else []
  error = 'test error, % (mean ± std)'
  head = ['data set', 'labels', 'network', 'objective', *changed, 'epochs', error]
  return head, rows, by_seed


def paired(runs: Sequence[FinishedRun], reference: str = 'multiscale') -> str:
  """Return a table of paired differences to the reference objective, over the seeds of both.

  Raises:
    UserError: unless the runs hold exactly one setting of the reference.
  """
  groups = grouping.by_setting(runs)
  bases = [group for group in groups if group[0].objective == reference]
  if len(bases) != 1:
    raise UserError(f'paired: {len(bases)} settings of {reference}; allowed: 1')
  (base,) = bases
  lines = []
  for group in groups:
    found = None if group is base else compare(group, base)
    if found:
      lines.append((
          grouping.objective_name(group[0]),
          found.seeds,
          f'{found.mean:+.2f}',
          f'{found.standard_error:.2f}',
          found.p_text(),
          'yes' if found.beyond_chance else 'no',
      ))
  base_name = grouping.objective_name(base[0])
  difference = f'error less that of {base_name}'
  head = ['objective', 'seeds', difference, 'standard error', 'p', 'beyond chance']
  return markdown(head, lines)


def side_by_side(runs: Sequence[FinishedRun]) -> str:
  """Return a table of methods: alone, with multiscale added, and the paired difference.

  Raises:
    UserError: if a method occurs in several settings, or only with multiscale added.
  """
  groups: dict[str, list[FinishedRun]] = {}
  for group in grouping.by_setting(runs):
    name = group[0].objective
    if name in groups:
      raise UserError(f'side by side: {name} occurs in several settings; allowed: one')
    groups[name] = group
  alone = [name for name in groups if not name.endswith(_ADDED)]
  lonely = [name for name in groups if name.endswith(_ADDED) and name[: -len(_ADDED)] not in alone]
  if lonely:
    raise UserError(f'side by side: {lonely[0]} occurs without {lonely[0][: -len(_ADDED)]}')
  lines = []
  for name in alone:
    both = groups.get(name + _ADDED)
    found = compare(both, groups[name]) if both else None
    lines.append((
        grouping.objective_name(groups[name][0]).replace('_', ' '),
        _errors(groups[name]),
        _errors(both) if both else 'not measured',
        f'{found.mean:+.2f} ± {found.standard_error:.2f}' if found else '',
        found.p_text() if found else '',
        found.seeds if found else len(groups[name]),
    ))
  difference = 'difference ± standard error'
  head = ['method', 'alone, %', 'with multiscale, %', difference, 'p', 'seeds']
  return markdown(head, lines)


def of_mistakes(found: Sequence[Mistakes]) -> str:
  """Return a table with one line for each network."""
  rows = [
      (
          one.objective,
          one.seed,
          f'{one.test_error:.2f}',
          f'{one.settled_epoch:.0f}',
          ', '.join(f'{a} as {b}: {count}' for a, b, count in one.confusions[:_SHOWN]),
      )
      for one in found
  ]
  head = ['objective', 'seed', 'test error, %', 'settled from epoch', 'most frequent confusions']
  return markdown(head, rows)


def renew(path: str, renders: Mapping[str, Callable[[str], str]]) -> int:
  """Renew the tables of a Markdown file, which is written once all of them are made.

  Args:
    path: the Markdown file. Its tables stand between `<!-- MARK: FILE -->` and
      `<!-- end of MARK -->`, with the result file's path relative to the page.
    renders: for each mark, the function that makes a table from a result file.

  Returns:
    The number of tables.

  Raises:
    UserError: if a result file is missing; the page is then as it was.
  """
  before = text = files.read_text(path)
  folder, count = os.path.dirname(path), 0
  for mark, render in renders.items():
    pattern = rf'(<!-- {mark}: (\S+) -->(\r?\n)).*?(<!-- end of {mark} -->)'

    def renewed(match: re.Match, render=render) -> str:
      lines = render(os.path.join(folder, match[2]))
      return match[1] + lines.replace('\n', match[3]) + match[4]

    text, found = re.subn(pattern, renewed, text, flags=re.DOTALL)
    count += found
  if text != before:
    files.write_text(path, text)
  return count
