"""The paper's tables with our measured errors beside the published ones, as Markdown and CSV.

A run counts for a row if its configuration is that of the row, apart from the learning rate, which
the paper selects. Runs with different learning rates, or on different copies of the data, are
different settings: each is shown by itself, never pooled (`grouping.by_setting`).
"""

import csv
import io
import statistics
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from experiments.reporting import grouping, tables
from experiments.studies import paper, settings
from multiscale_inversion.runs.finished import FinishedRun

NOT_MEASURED = 'not measured'
# Keys in which a run that counts may differ from the setting's configuration.
_FREE = (*grouping.OF_THE_RUN, 'data.note', 'learning_rate')


class Measured(NamedTuple):
  """Our errors in one setting.

  Attributes:
    errors: test errors in percent, by seed.
    learning_rate: the setting's.
    note: how the copy of the data differs; empty for the original.
  """

  errors: dict[int, float]
  learning_rate: float
  note: str


class Cell:
  """Our errors for one row and number of labels.

  Attributes:
    measured: a value for each setting; only those on the original data, if there are any.
  """

  def __init__(self, runs: Sequence[FinishedRun]):
    counted = [run for run in runs if not _note(run)] or runs
    self.measured = [
        Measured(
            {run.seed: run.error for run in group},
            group[0].configuration.learning_rate,
            _note(group[0]),
        )
        for group in grouping.by_setting(counted)
    ]

  def __str__(self):
    several = len({one.learning_rate for one in self.measured}) > 1
    shown = [_shown(one, name_rate=several) for one in self.measured]
    return '; '.join(shown) or NOT_MEASURED


def _shown(one: Measured, name_rate: bool) -> str:
  count = len(one.errors)
  remarks = [f'{count} seed{"s"[: count > 1]}', one.note]
  remarks += [f'learning_rate={one.learning_rate:g}'] * name_rate
  errors = tables.mean_and_deviation(list(one.errors.values()))
  return f'{errors} ({"; ".join(filter(None, remarks))})'


def _note(run: FinishedRun) -> str:
  return run.configuration.data.note


def cells(
    table: paper.Table, runs: Sequence[FinishedRun]
) -> Iterator[tuple[paper.Row, dict[int, Cell | None]]]:
  """Yield each row with our errors by number of labels; None in the rows of other methods."""
  found = [(settings.comparable(run.configuration, _FREE), run) for run in runs]
  for row in table.rows:
    yield row, {number: _cell(table, row, number, found) for number in table.labels}


def _cell(table, row, number, found) -> Cell | None:
  if row.changes is None:
    return None
  wanted = settings.comparable(settings.config(settings.of_row(table, row, number)), _FREE)
  return Cell([run for config, run in found if config == wanted])


def markdown(number: int, runs: Sequence[FinishedRun]) -> str:
  """Return a table of the paper, ours beside the published test errors in percent."""
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
  return f'{title}\n\n{tables.markdown(head, lines)}{footnotes}'


def comma_separated(number: int, runs: Sequence[FinishedRun]) -> str:
  """Return the table as CSV: a line for each row, number of labels and measured setting."""
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
      'learning_rate',
  ])
  for row, ours in cells(paper.TABLES[number], runs):
    for labels, cell in ours.items():
      published = row.published.get(labels) or ('', '')
      first = [number, row.label, labels, *('' if v is None else v for v in published)]
      for values in _values(cell):
        writer.writerow([*first, *values])
  return out.getvalue()


def _values(cell: Cell | None) -> list[tuple[Any, ...]]:
  """Return our columns of the CSV: a line for each setting, or one if there is none."""
  if cell is None:
    return [('',) * 5]
  if not cell.measured:
    return [(NOT_MEASURED, '', 0, '', '')]
  lines = []
  for one in cell.measured:
    errors = list(one.errors.values())
    deviation = f'{statistics.stdev(errors):.4f}' if len(errors) > 1 else ''
    mean = f'{statistics.mean(errors):.4f}'
    lines.append((mean, deviation, len(errors), one.note, one.learning_rate))
  return lines
