"""The paper's tables with our measured errors beside the published ones, as Markdown and CSV."""

import csv
import io
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from experiments import paper, records, settings
from experiments.markdown import mean_and_deviation
from experiments.markdown import table as markdown_table
from experiments.validation import from_record

NOT_MEASURED = 'not measured'
# What may differ from the setting's configuration in a run that counts as its.
_FREE = (
    *records.FREE_KEYS,
    'seed',
    'num_seeds',
    'seeds_mode',
    'learning_rate',
    'log_every_steps',
    'eval_every_epochs',
    'eval_batch_size',
    'rematerialize',
)


class Cell:
  """Our errors for one row and number of labels.

  Attributes:
    errors: test errors in percent, by seed; of the original data alone where there are any.
    note: what sets the data's copy apart, where there are only such.
  """

  def __init__(self, runs: Sequence[dict[str, Any]]):
    counted = [run for run in runs if not _note(run)] or runs
    self.errors = {run['seed']: run['test_error'] for run in counted}
    self.note = ', '.join(sorted({_note(run) for run in counted}))

  def __str__(self):
    if not self.errors:
      return NOT_MEASURED
    count = len(self.errors)
    mean = mean_and_deviation(list(self.errors.values()))
    return f'{mean} ({count} seed{"s"[: count > 1]}{"; " * bool(self.note)}{self.note})'


def _note(run):
  return run['config']['data'].get('note') or ''


def cells(
    table: paper.Table, runs: Sequence[dict[str, Any]]
) -> Iterator[tuple[paper.Row, dict[int, Cell | None]]]:
  """Our errors of each row, by number of labels; None for another method's row."""
  found = [(settings.comparable(from_record(run['config']), _FREE), run) for run in runs]
  for row in table.rows:
    yield row, {number: _cell(table, row, number, found) for number in table.labels}


def _cell(table, row, number, found) -> Cell | None:
  if row.changes is None:
    return None
  wanted = settings.comparable(settings.config(settings.of_row(table, row, number)), _FREE)
  return Cell([run for config, run in found if config == wanted])


def markdown(number: int, runs: Sequence[dict[str, Any]]) -> str:
  """A table of the paper, ours beside the published test errors in percent."""
  table = paper.TABLES[number]
  head = ['']
  for labels in table.labels:
    head += [f'{labels:,} labels, published', f'{labels:,} labels, ours']
  lines, notes = [], []
  for row, ours in cells(table, runs):
    mark = ''
    if row.note:
      notes.append(f'{row.label}: {row.note}.')
      mark = ' *'
    line = [row.label + mark]
    for labels, cell in ours.items():
      line += [str(row.published.get(labels, '-')), '' if cell is None else str(cell)]
    lines.append(line)
  footnotes = ''.join(f'\n\\* {note}\n' for note in notes)
  title = f'**Table {number}: {table.title}, test error in %**'
  return f'{title}\n\n{markdown_table(head, lines)}{footnotes}'


def comma_separated(number: int, runs: Sequence[dict[str, Any]]) -> str:
  """The same as CSV, a line for each row and number of labels."""
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  names = 'mean', 'std'
  writer.writerow([
      'table',
      'row',
      'labels',
      *(f'published_{name}' for name in names),
      *(f'ours_{name}' for name in names),
      'seeds',
      'data_note',
  ])
  for row, ours in cells(paper.TABLES[number], runs):
    for labels, cell in ours.items():
      published = row.published.get(labels)
      errors = list(cell.errors.values()) if cell else []
      writer.writerow([
          number,
          row.label,
          labels,
          *(('', '') if published is None else ('' if v is None else v for v in published)),
          f'{statistics.mean(errors):.4f}' if errors else NOT_MEASURED if cell else '',
          f'{statistics.stdev(errors):.4f}' if len(errors) > 1 else '',
          len(errors) if cell else '',
          cell.note if cell else '',
      ])
  return out.getvalue()
