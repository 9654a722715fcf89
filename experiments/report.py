"""Turn runs into tables and figures: `python -m experiments.report DIR... --out DIR`.

Takes run folders and result files (JSON lists of summaries, such as those under `results/`), and
writes to the folder of `--out`:

- `runs.json`: all runs as one such list, for publication, without the machine's folders;
- `table.md`: one row for each setting, with the mean, the standard deviation and each seed's test
  error;
- `paper_table_1.md` to `_3.md` and `.csv`: the paper's tables, ours beside the published errors;
- figures (PNG): the error against the number of labels, if there are several, and those of the run
  folders, see `experiments/reporting/figures.py`.

With `--update FILE` it renews every table in a Markdown file between

    <!-- table: results/NAME.json -->  and  <!-- end of table -->

from the result file named there. With `errors` in place of `table`, the errors of each seed are
left out; with `paired`, the table shows each objective's error less that of multiscale, seed by
seed; with `side by side`, each method alone and with multiscale. The paper's table N is made from
all files of a folder, between

    <!-- paper table N: results -->  and  <!-- end of paper table N -->

the tables of `experiments/proposition_1.py` from its result file, between

    <!-- proposition 1: results/proposition_1.json -->  and  <!-- end of proposition 1 -->

those of `experiments/mistakes.py` from its own, between

    <!-- mistakes: results/NAME.json -->  and  <!-- end of mistakes -->

those of `experiments/classical.py` from its own, between

    <!-- classical: results/NAME.json -->  and  <!-- end of classical -->

and that of `experiments/robustness.py` from its own, between

    <!-- robustness: results/NAME.json -->  and  <!-- end of robustness -->
"""

import os
import sys
from collections.abc import Callable

from absl import flags

from experiments.reporting import (
    by_labels,
    classical,
    figures,
    paper_tables,
    proposition_1_report,
    robustness_report,
    tables,
)
from experiments.reporting.results import (
    read_all,
    read_folder,
    read_mistakes,
    read_robust,
    read_runs,
)
from experiments.studies import paper
from multiscale_inversion import files
from multiscale_inversion.cli import program as cli
from multiscale_inversion.errors import UserError

_OUT = flags.DEFINE_string('out', None, 'Folder to write to.')
_UPDATE = flags.DEFINE_string('update', None, 'Markdown file whose tables are renewed.')


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  if not _UPDATE.value and not (_OUT.value and argv[1:]):
    raise UserError('give run folders or result files and --out=DIR, or --update=FILE')
  if _OUT.value and argv[1:]:
    runs = read_all(argv[1:])
    files.make_folder(_OUT.value, '--out')
    public = [run.public().to_json() for run in runs]
    files.write_json(os.path.join(_OUT.value, 'runs.json'), public)
    write = lambda name, content: files.write_text(os.path.join(_OUT.value, name), content)
    write('table.md', tables.of_runs(runs))
    for number in paper.TABLES:
      write(f'paper_table_{number}.md', paper_tables.markdown(number, runs))
      write(f'paper_table_{number}.csv', paper_tables.comma_separated(number, runs))
    print(tables.of_runs(runs), end='')
    drawn = by_labels.draw(runs, _OUT.value)
    drawn += figures.draw([path for path in argv[1:] if os.path.isdir(path)], _OUT.value)
    for path in drawn:
      print(path, file=sys.stderr)
  if _UPDATE.value:
    update(_UPDATE.value)
  return 0


def update(path: str) -> None:
  """Renew the tables of runs, of studies and of the paper in a Markdown file.

  Raises:
    UserError: if the file has none, or a result file is missing; the file is then as it was.
  """
  renders = {
      'table': lambda file: tables.for_page(read_runs(file)),
      'errors': lambda file: tables.of_errors(read_runs(file)),
      'paired': lambda file: tables.paired(read_runs(file)),
      'side by side': lambda file: tables.side_by_side(read_runs(file)),
      'mistakes': lambda file: tables.of_mistakes(read_mistakes(file)),
      'classical': lambda file: classical.of_results(classical.read_results(file)),
      'robustness': lambda file: robustness_report.of_runs(read_robust(file)),
      **{f'paper table {number}': _of_the_paper(number) for number in paper.TABLES},
      'proposition 1': proposition_1_report.render,
  }
  count = tables.renew(path, renders)
  if not count:
    raise UserError(f'{path}: no table between <!-- table: FILE --> and <!-- end of table -->')
  print(f'{path}: {count} table(s) renewed', file=sys.stderr)


def _of_the_paper(number: int) -> Callable[[str], str]:
  return lambda folder: paper_tables.markdown(number, read_folder(folder))


if __name__ == '__main__':
  cli.run(main, needs_config=False)
