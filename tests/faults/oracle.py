"""What holds: the undisturbed result, or one line that says what is wrong, and nothing lost."""

import hashlib
import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from tests.faults.processes import LIMIT, Outcome
from tests.faults.results import Result, is_leftover

USER_ERROR = 2
ALL, FEWER, ANY = 'all', 'fewer', 'any'
# What the programs write to standard error beside errors: progress and warnings.
_EXPECTED = re.compile(
    r'warning: |next: |epoch [\d.]+/|folder: |\[\d+/\d+\] |reconstructions: |/.*\.png$|'
    r'/.*: no (?:curves|reconstructions) drawn: |\S+: \d+ table\(s\) renewed|'
    r'shown, in the loss or not: |resuming at step \d+|'
    r'compiling, about |the loss contains information |  class +labeled |  .+(?: +\d+){3}$'
)
_INTERNAL = re.compile(r'Traceback|stack trace|terminate called|Check failed|Fatal Python error')
_NAN = re.compile(r'(?<![=\w])nan\b', re.IGNORECASE)  # but not `key=nan`, which names a setting


class Broken(Exception):
  """Something that does not hold."""


class Skip(Exception):
  """Something that cannot be tried here."""


def require(condition: bool, message: str) -> None:
  """Raise `Broken` with a message unless a condition holds."""
  if not condition:
    raise Broken(message)


def check_clean(outcome: Outcome, statuses: Collection[int] = (0, USER_ERROR)) -> None:
  """Check that a program ended with one of the statuses, and with one line where it failed."""
  errors = outcome.errors
  require(outcome.status is not None, f'hangs: not ended after {LIMIT:.0f} s; {_end(errors)}')
  require(not _INTERNAL.search(errors), f'traceback, status {outcome.status}: {_end(errors)}')
  require(
      outcome.status in statuses,
      f'status {outcome.status}; allowed: {", ".join(map(str, statuses))}: {_end(errors)}',
  )
  lines = [line for line in errors.splitlines() if line and not _EXPECTED.match(line)]
  if outcome.status == 0:
    require(not lines, f'unexpected on standard error: {_end(errors)}')
    require(not _NAN.search(outcome.output), f'NaN: {outcome.output}')
  else:
    one = len(lines) == 1 and lines[0].startswith('error: ') and len(lines[0]) > len('error: ')
    require(one, f'{len(lines)} lines in place of one `error: ...`: {_end(errors)}')


def check_refused(outcome: Outcome, named: str = '') -> None:
  """Check that a program ended in one line that names something."""
  check_clean(outcome, (USER_ERROR,))
  require(named in outcome.errors, f'{named} is not named: {_end(outcome.errors)}')


def check_warned(outcome: Outcome, named: str) -> None:
  """Check that a program warned of something, by name."""
  warnings = [line for line in outcome.errors.splitlines() if line.startswith('warning: ')]
  require(any(named in line for line in warnings), f'no warning that names {named}: {warnings}')


def check_same(found: Result, wanted: Result, records: str = ALL) -> None:
  """Check that a result is the undisturbed one, bit for bit.

  Args:
    found: the result.
    wanted: the undisturbed one.
    records: ALL of them, FEWER, or ANY, where they were damaged in their values.
  """
  for what in ('summaries', 'arrays', 'notes'):
    difference = _difference(getattr(found, what), getattr(wanted, what))
    require(not difference, f'another result: {what}{difference}')
  for name, lines in wanted.records.items():
    has = found.records.get(name, [])
    if records == ALL:
      difference = _difference(dict(enumerate(has)), dict(enumerate(lines)))
      require(not difference, f'other records: {name}{difference}')
    elif records == FEWER:
      strange = [line for line in has if line not in lines]
      require(not strange, f'other records: {name}: {strange[:1]}')
  require(not found.leftovers, f'left over: {found.leftovers}')


def _difference(found: Any, wanted: Any) -> str:
  """Return the first place in which two JSON values differ; nothing if they are equal."""
  if not isinstance(found, Mapping) or not isinstance(wanted, Mapping):
    return '' if found == wanted else f': {found!r} in place of {wanted!r}'
  for key in [*wanted, *(key for key in found if key not in wanted)]:
    missing = object()
    difference = _difference(found.get(key, missing), wanted.get(key, missing))
    if difference:
      return f'[{key!r}]{difference}'.replace(repr(missing), 'nothing')
  return ''


def contents(folder: pathlib.Path) -> dict[str, str]:
  """Return a digest of each file of a folder, without those that were being written."""
  return {
      str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
      for path in folder.rglob('*')
      if path.is_file() and not is_leftover(str(path.relative_to(folder)))
  }


def check_kept(before: Mapping[str, str], folder: pathlib.Path) -> None:
  """Check that a folder's files are still there as they were; new ones do not count."""
  now = contents(folder)
  lost = [name for name, digest in before.items() if now.get(name) != digest]
  require(not lost, f'lost or changed: {", ".join(lost[:3])} ({len(lost)} files)')


def _end(text: str) -> str:
  """Return the end of a text as one line."""
  return ' | '.join(text.strip().splitlines()[-4:])[-700:] or 'nothing on standard error'
