"""Read a CSV file that lists images and their labels."""

import csv
import functools
import io
import os
from collections.abc import Iterator

from multiscale_inversion.data.sources.entries import (
  TEST,
  TRAIN,
  Entry,
  is_unlabeled,
  part_of,
  reads_as_missing,
)
from multiscale_inversion.errors import UserError
from multiscale_inversion.regular_files import open_regular

_DELIMITERS = (',', ';', '\t')


def find(table: str) -> list[Entry]:
  """List the images of a CSV file, in its order.

  The first line names the columns: `file`, `label` and optionally `split`; other columns are
  ignored. Columns are separated by commas, semicolons or tabs. `file` is a path, relative to the
  folder of the CSV file or absolute. `label` is the name of a class, or empty (or -1, -1.0,
  `unlabeled`) if there is none. `split` is `train` (or empty) or `test`.

  Raises:
    UserError: if the table does not have this form, or a label is how programs write a missing
      value, such as NaN.
  """
  entries: list[Entry] = []
  lines: dict[str, int] = {}
  for line, row in _rows(table):
    where = f'{table}, line {line}'
    name, label, part = (row.get(column, '') for column in ('file', 'label', 'split'))
    if not name:
      raise UserError(f'{where}: no file; allowed: a path in the column file')
    if '\n' in name + label:
      raise UserError(f'{where}: {name!r}, {label!r}: of several lines; allowed: one (open quote?)')
    file = os.path.normpath(os.path.join(os.path.dirname(table), name))  # `./a.png` is `a.png`
    if file in lines:
      raise UserError(f'{where}: {name} stands in line {lines[file]} already; allowed: once')
    if part and part_of(part) not in ((TRAIN, ''), (TEST, '')):
      raise UserError(f'{where}: split is {part!r}; allowed: train, test')
    lines[file] = line
    known = None if not label or is_unlabeled(label) else label
    if known is not None and reads_as_missing(known):
      raise UserError(
          f'{where}: label is {label!r}; allowed: empty or -1 where there is none, else the name '
          'of a class (rename one that is called so)'
      )
    is_test = bool(part) and part_of(part)[0] == TEST
    if is_test and known is None:
      raise UserError(f'{where}: a test image without a label; allowed: labeled ones')
    entries.append(Entry(os.path.join(os.path.dirname(table), name), name, known, is_test))
  return entries


def _rows(table: str) -> Iterator[tuple[int, dict[str, str]]]:
  """Yield the lines that are not empty, each with its number, as cells by column."""
  try:
    with io.TextIOWrapper(open_regular(table), encoding='utf-8-sig', newline='') as file:
      head = file.readline()
      delimiter = max(_DELIMITERS, key=head.count)
      parse = functools.partial(csv.reader, delimiter=delimiter, skipinitialspace=True)
      columns = [cell.strip().lower() for cell in next(parse([head]), [])]
      if any(columns.count(name) != 1 for name in ('file', 'label')) or columns.count('split') > 1:
        raise UserError(
            f'{table}, line 1: {head.strip()!r}; allowed: the names of the columns, file,label or '
            'file,label,split, each once'
        )
      reader = parse(file)
      for cells in reader:
        if any(map(str.strip, cells)):
          row = dict(zip(columns, map(str.strip, cells), strict=False))
          yield reader.line_num + 1, row
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f'{table} cannot be read as CSV in UTF-8: {error}', 'data_dir') from error
