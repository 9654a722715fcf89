"""Turns runs into tables: `python -m experiments.report DIR... --out DIR`.

Takes run folders and result files (JSON lists of summaries, as under `results/`). Writes to the
folder of `--out`:

- `runs.json`, all runs as one such list, for publication: without the machine's folders;
- `table.md`: a row an objective, with the mean, the standard deviation and each seed's test error;
- `paper_table_1.md` to `_3.md` and `.csv`: the paper's tables, ours beside the published errors;
- figures (PNG): the error against the number of labels, where there are several, and those of the
  run folders, see `experiments/reporting/figures.py`.

With `--update FILE` it renews in a Markdown file every table between

    <!-- table: results/NAME.json -->  and  <!-- end of table -->

from the result file named there (with `paired` in place of `table`: each objective's error less
that of multiscale, seed by seed; with `side by side`: each method alone and with multiscale), the
paper's table N, from all files of a folder, between

    <!-- paper table N: results -->  and  <!-- end of paper table N -->

and the tables of `experiments/proposition_1.py`, from its result file, between

    <!-- proposition 1: results/proposition_1.json -->  and  <!-- end of proposition 1 -->
"""

import math
import os
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags

from experiments import mistakes
from experiments.reporting import (
  aggregation,
  by_labels,
  differences,
  figures,
  markdown,
  naming,
  paper_tables,
  proposition_1_report,
)
from experiments.studies import paper
from multiscale_inversion import files
from multiscale_inversion.cli import program as cli
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import finished, records

_OUT = flags.DEFINE_string('out', None, 'Folder to write to.')
_UPDATE = flags.DEFINE_string('update', None, 'Markdown file whose tables are renewed.')


def main(argv: list[str]) -> int:
  """Runs the program; returns its exit status."""
  if not _UPDATE.value and not (_OUT.value and argv[1:]):
    raise UserError('give run folders or result files and --out=DIR, or --update=FILE')
  if _OUT.value and argv[1:]:
    runs = load_runs(argv[1:])
    files.make_folder(_OUT.value, '--out')
    files.write_json(os.path.join(_OUT.value, 'runs.json'), list(map(records.public, runs)))
    _write('table.md', table(runs))
    for number in paper.TABLES:
      _write(f'paper_table_{number}.md', paper_tables.markdown(number, runs))
      _write(f'paper_table_{number}.csv', paper_tables.comma_separated(number, runs))
    print(table(runs), end='')
    drawn = by_labels.draw(runs, _OUT.value)
    drawn += figures.draw([path for path in argv[1:] if os.path.isdir(path)], _OUT.value)
    for path in drawn:
      print(path, file=sys.stderr)
  if _UPDATE.value:
    update(_UPDATE.value)
  return 0


def _write(name: str, content: str) -> None:
  files.write_text(os.path.join(_OUT.value, name), content)


def load_runs(paths: Sequence[str]) -> list[dict[str, Any]]:
  """Reads summaries from run folders and result files, one a seed.

  Raises:
    UserError: for a path that holds none, an unfinished run among them.
  """
  return [run for path in paths for run in finished.read_runs(path)]


def table(runs: Sequence[dict[str, Any]]) -> str:
  """A Markdown table of test errors: runs that differ in their seed alone share a row.

  Where rows differ in more than their names show, a column says in what.
  """
  groups = aggregation.by_setting(runs)
  changes = differences.differences([differences.setting(group[0]) for group in groups])
  lines = []
  for group, change in zip(groups, changes, strict=True):
    seeds = ', '.join(f'{run["seed"]}: {run["test_error"]:.2f}' for run in group)
    run = group[0]
    cells = (
        naming.dataset_name(run),
        run['num_labeled'],
        naming.network_name(run),
        naming.objective_name(run),
        *([change] if any(changes) else []),
        f'{run["num_epochs"]:.4g}',
        _errors(group),
        seeds,
    )
    lines.append(cells)
  error = 'test error, % (mean ± std)'
  changed = ['changes'] if any(changes) else []
  head = ['data set', 'labels', 'network', 'objective', *changed, 'epochs', error, 'by seed']
  return markdown.table(head, lines)


def paired(runs: Sequence[dict[str, Any]], reference: str = 'multiscale') -> str:
  """A Markdown table of differences to the reference objective, over the seeds of both.

  Raises:
    UserError: unless the runs hold exactly one setting of the reference.
  """
  groups = aggregation.by_setting(runs)
  bases = [group for group in groups if group[0]['objective'] == reference]
  if len(bases) != 1:
    raise UserError(f'paired: {len(bases)} settings of {reference}; allowed: 1')
  (base,) = bases
  lines = []
  for group in groups:
    difference = None if group is base else _difference(group, base)
    if difference:
      mean, error = difference.mean, difference.standard_error
      ratio = mean / error if error else math.nan
      name = naming.objective_name(group[0])
      lines.append((name, difference.seeds, f'{mean:+.2f}', f'{error:.2f}', f'{ratio:.1f}'))
  base_name = naming.objective_name(base[0])
  head = ['objective', 'seeds', f'error less that of {base_name}', 'standard error', 'ratio']
  return markdown.table(head, lines)


class _Difference(NamedTuple):
  """Of test errors over the seeds that two settings share; nan for the error of one seed."""

  seeds: int
  mean: float
  standard_error: float


def _difference(group, base) -> _Difference | None:
  """Of a setting's runs, less another's."""
  errors = {run['seed']: run['test_error'] for run in base}
  found = [run['test_error'] - errors[run['seed']] for run in group if run['seed'] in errors]
  if not found:
    return None
  return _Difference(len(found), statistics.mean(found), aggregation.standard_error(found))


_ADDED = '+multiscale'


def side_by_side(runs: Sequence[dict[str, Any]]) -> str:
  """A Markdown table of methods: alone, with multiscale added by name, and the paired difference.

  Raises:
    UserError: if a method occurs in several settings, or not alone.
  """
  groups = {}
  for group in aggregation.by_setting(runs):
    name = group[0]['objective']
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
    difference = _difference(both, groups[name]) if both else None
    lines.append((
        naming.objective_name(groups[name][0]).replace('_', ' '),
        _errors(groups[name]),
        _errors(both) if both else 'not measured',
        f'{difference.mean:+.2f} ± {difference.standard_error:.2f}' if difference else '',
        difference.seeds if difference else len(groups[name]),
    ))
  head = ['method', 'alone, %', 'with multiscale, %', 'difference ± standard error', 'seeds']
  return markdown.table(head, lines)


def _errors(group) -> str:
  return markdown.mean_and_deviation([run['test_error'] for run in group])


def update(path: str) -> None:
  """Renews the tables of runs, and the paper's, in a Markdown file.

  Raises:
    UserError: if the file has none, or a result file is missing; the file is then as it was.
  """
  renders = {
      'table': lambda file: table(load_runs([file])),
      'paired': lambda file: paired(load_runs([file])),
      'side by side': lambda file: side_by_side(load_runs([file])),
      'mistakes': mistakes.render,
      **{f'paper table {number}': _of_the_paper(number) for number in paper.TABLES},
      'proposition 1': proposition_1_report.render,
  }
  count = _renew(path, renders)
  if not count:
    raise UserError(f'{path}: no table between <!-- table: FILE --> and <!-- end of table -->')
  print(f'{path}: {count} table(s) renewed', file=sys.stderr)


def _of_the_paper(number: int) -> Callable[[str], str]:
  return lambda folder: paper_tables.markdown(number, _all_runs(folder))


def _all_runs(folder: str) -> list[dict[str, Any]]:
  """The runs of all result files of a folder; what holds no runs is left out."""
  try:
    names = sorted(name for name in os.listdir(folder) if name.endswith('.json'))
  except OSError as error:
    raise UserError(f'{folder}: not a folder of result files: {error.strerror}') from error
  return load_runs([
      os.path.join(folder, name)
      for name in names
      if not name.startswith('benchmark_') and not name.endswith('_mistakes.json')
  ])


def renew(path: str, mark: str, render: Callable[[str], str]) -> int:
  """Renews the tables of a Markdown file, each from the result file that its mark names.

  Args:
    path: the Markdown file.
    mark: tables stand between `<!-- MARK: FILE -->` and `<!-- end of MARK -->`.
    render: makes the table of a result file.

  Returns:
    How many tables there were.

  Raises:
    UserError: if a result file is missing.
  """
  return _renew(path, {mark: render})


def _renew(path: str, renders: Mapping[str, Callable[[str], str]]) -> int:
  """`renew` with each mark's render, written once all tables are made."""
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


if __name__ == '__main__':
  cli.run(main, needs_config=False)
