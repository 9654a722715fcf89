"""The records of a run: the lines of its `metrics.jsonl`."""

import json
import os
import warnings
from collections.abc import Sequence

from multiscale_inversion.errors import UserError
from multiscale_inversion.files import read_bytes, write_bytes
from multiscale_inversion.runs import kinds

# `step`, `epoch` and the scalars by name; None where a scalar was not finite.
Record = dict[str, float | None]


def read(path: str, keys: Sequence[str] = ()) -> list[Record]:
  """Read the records of a `metrics.jsonl`, at least one, in ascending order of their steps.

  An unfinished last line is left out.

  Args:
    path: the file.
    keys: scalars that every record must hold.

  Raises:
    UserError: if there is no such file, it holds no record, or one of them lacks a key.

  Warns:
    UserWarning: if other lines cannot be read; they are left out, too.
  """
  records = [record for _, record in _lines(path)]
  if not records:
    raise UserError(f'{path}: holds no record')
  for number, record in enumerate(records):
    where = f'{path}: record {number + 1}'
    kinds.check_keys(record, {'step': kinds.whole(0), 'epoch': kinds.AMOUNT}, where)
    kinds.check_keys(record, dict.fromkeys(keys, kinds.ANY), where)
  return records


def series(records: Sequence[Record], name: str) -> list[tuple[float, float]]:
  """Return the (epoch, value) pairs of a scalar, where it was recorded and is finite."""
  pairs = [(record.get('epoch'), record.get(name)) for record in records]
  return [(epoch, value) for epoch, value in pairs if epoch is not None and value is not None]


def drop_later(path: str, step: int) -> int:
  """Drop the records after a step and lines that cannot be read; return how many are left."""
  if not os.path.lexists(path):
    return 0
  kept = [line for line, record in _lines(path) if _step(record) <= step]
  write_bytes(path, b''.join(kept))
  return len(kept)


def _lines(path: str) -> list[tuple[bytes, Record]]:
  """Return each line that holds a record, with the record."""
  lines = read_bytes(path).splitlines(keepends=True)
  found, unreadable, last = [], 0, 0
  for line in lines:
    record = _record(line)
    if record is None:
      # A power cut or a kill leaves an unfinished last line, which is no reason for a warning.
      unreadable += line is not lines[-1]
    elif _step(record) > last:
      last = _step(record)
      found.append((line, record))
  if unreadable:
    warnings.warn(f'{path}: {unreadable} lines cannot be read and are left out', stacklevel=3)
  return found


def _step(record: Record) -> int:
  return int(record['step'] or 0)


def _record(line: bytes) -> Record | None:
  """Return the record of a line, or None unless it holds a whole and sound one."""
  try:
    record = json.loads(line.decode('utf-8')) if line.endswith(b'\n') else None
  except (ValueError, RecursionError):
    return None
  sound = (
      isinstance(record, dict)
      and kinds.SCALARS.test(record)
      and isinstance(record.get('step'), int)
      and record.get('epoch') is not None
  )
  return record if sound else None
