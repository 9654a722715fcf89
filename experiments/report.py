"""Turns runs into tables: `python -m experiments.report DIR... --out DIR`.

Takes run folders and result files (JSON lists of summaries, as under `results/`). Writes to the
folder of `--out` `runs.json`, all runs as one such list, and `table.md`: a row an objective, with
the mean, the standard deviation and each seed's test error. With `--update FILE` it renews in a
Markdown file every table between

    <!-- table: results/NAME.json -->  and  <!-- end of table -->

from the result file named there.
"""

import collections
import os
import re
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments import cli, records
from multiscale_inversion.errors import UserError

_OUT = flags.DEFINE_string('out', None, 'Folder to write to.')
_UPDATE = flags.DEFINE_string('update', None, 'Markdown file whose tables are renewed.')

_TABLE = re.compile(r'(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)', re.DOTALL)
_KEYS = ('dataset', 'network', 'objective', 'num_labeled', 'seed', 'test_error')


def main(argv: list[str]) -> int:
  """Runs the program; returns its exit status."""
  if not _UPDATE.value and not (_OUT.value and argv[1:]):
    raise UserError('give run folders or result files and --out=DIR, or --update=FILE')
  if _OUT.value and argv[1:]:
    runs = load_runs(argv[1:])
    os.makedirs(_OUT.value, exist_ok=True)
    records.write_json(os.path.join(_OUT.value, 'runs.json'), runs)
    with open(os.path.join(_OUT.value, 'table.md'), 'w', encoding='utf-8') as file:
      file.write(table(runs))
    print(table(runs), end='')
  if _UPDATE.value:
    update(_UPDATE.value)
  return 0


def load_runs(paths: Sequence[str]) -> list[dict[str, Any]]:
  """Reads summaries from run folders and result files.

  Raises:
    UserError: for a path that holds none, an unfinished run among them.
  """
  runs = []
  for path in paths:
    is_folder = os.path.isdir(path)
    content = records.read_json(os.path.join(path, 'summary.json') if is_folder else path)
    if content is None:
      what = 'no finished run (summary.json)' if is_folder else 'no such file'
      raise UserError(f'{path}: {what}')
    for run in [content] if is_folder else content:
      missing = [key for key in _KEYS if key not in run]
      if missing:
        raise UserError(f'{path}: a run lacks {", ".join(missing)}')
      runs.append(run)
  return runs


def table(runs: Sequence[dict[str, Any]]) -> str:
  """A Markdown table of test errors: runs that differ in their seed alone share a row."""
  rows = collections.defaultdict(list)
  for run in runs:
    rows[_setting(run)].append(run)
  lines = [
      '| data set | labels | network | objective | epochs | test error, % (mean ± std) | by seed |',
      '| --- | --- | --- | --- | --- | --- | --- |',
  ]
  for unordered in rows.values():
    group = sorted(unordered, key=lambda run: run['seed'])
    errors = [run['test_error'] for run in group]
    spread = f' ± {statistics.stdev(errors):.2f}' if len(errors) > 1 else ''
    seeds = ', '.join(f'{run["seed"]}: {run["test_error"]:.2f}' for run in group)
    run = group[0]
    cells = (
        run['dataset'],
        run['num_labeled'],
        network_name(run),
        run['objective'],
        f'{run["num_epochs"]:.4g}',
        f'{statistics.mean(errors):.2f}{spread}',
        seeds,
    )
    lines.append('| ' + ' | '.join(map(str, cells)) + ' |')
  return '\n'.join(lines) + '\n'


def network_name(run: dict[str, Any]) -> str:
  """The network as the paper writes it: Resnet3-64, Resnet2-32max, Large CNN, ..."""
  options = run['config']['network']
  if run['network'] == 'resnet':
    maximum = 'max' if options['pooling'] == 'max' else ''
    name = f'Resnet{options["blocks_per_group"]}-{options["width"]}{maximum}'
  else:
    name = {'large_cnn': 'Large CNN'}.get(run['network'], run['network'])
  return name if options['activation'] == 'leaky_relu' else f'{name}, {options["activation"]}'


def update(path: str) -> None:
  """Renews the tables of a Markdown file, each from the result file that its mark names.

  Raises:
    UserError: if the file has no such mark, or a result file is missing.
  """
  with open(path, encoding='utf-8') as file:
    text = file.read()
  folder = os.path.dirname(path)
  renewed, count = _TABLE.subn(
      lambda m: m[1] + table(load_runs([os.path.join(folder, m[2])])) + m[3], text
  )
  if not count:
    raise UserError(f'{path}: no table between <!-- table: FILE --> and <!-- end of table -->')
  with open(path, 'w', encoding='utf-8') as file:
    file.write(renewed)
  print(f'{path}: {count} table(s) renewed', file=sys.stderr)


def _setting(run: dict[str, Any]) -> str:
  """What runs of one row share: the whole configuration but the seed and where the data are."""
  config = {**run['config'], 'seed': None}
  config['data'] = {**config['data'], 'data_dir': None}
  return repr(config)


if __name__ == '__main__':
  cli.run(main, needs_config=False)
