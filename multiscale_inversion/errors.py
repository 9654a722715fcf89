"""Errors of use in one line, which says what is wrong and allowed, and checks that raise them."""

import contextlib
import difflib
import operator
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

HUGE = 2**31 - 1
_SHOWN = 300  # characters of a foreign error


class UserError(ValueError):
  """Wrong use, which the user can mend; programs print it as one line, without a traceback.

  Args:
    message: what is wrong and what is allowed.
    argument: name of the argument that is wrong, put before the message; None where the message
      says what it is about.
    mentions: other arguments that the message names.
  """

  def __init__(
      self, message: str, argument: str | None = None, mentions: Collection[str] = ()
  ):
    super().__init__(message if argument is None else f'{argument}: {message}')
    self.message, self.argument, self.mentions = message, argument, tuple(mentions)

  def __reduce__(self):
    return type(self), (self.message, self.argument, self.mentions)


class WrongType(UserError, TypeError):
  """A `UserError` for an argument of another type, which is also a `TypeError`."""


class StorageError(Exception):
  """Says that a run's folder cannot be written, such as where the disk is full."""


@contextlib.contextmanager
def named_as_keys(section: str = '', **keys: str) -> Iterator[None]:
  """Rename the arguments in errors of the library to a configuration's keys.

  Args:
    section: put before an argument, `network` making `network.width` of `width`; none if empty.
    **keys: whole keys of arguments that are called otherwise in the configuration.

  Raises:
    UserError: in place of one from inside that names an argument.
  """
  try:
    yield
  except UserError as error:
    key_of = lambda name: keys.get(name, f'{section}.{name}' if section else name)
    message = error.message
    for name in error.mentions:
      message = re.sub(rf'(?<![\w./-]){name}(?![\w/-])', key_of(name), message)
    argument = None if error.argument is None else key_of(error.argument)
    raise type(error)(message, argument) from error


def one_line(error: BaseException) -> str:
  """Return the text of an error on one line, cut to what a person reads."""
  text = ' '.join(str(error).split()) or type(error).__name__
  return text if len(text) <= _SHOWN else text[:_SHOWN] + ' ...'


def nearest(name: Any, known: Iterable[str], likeness: float = 0.6) -> str | None:
  """Return the known name that is most like another one; None where none is like it.

  Args:
    name: a mistyped name.
    known: names.
    likeness: the least ratio of equal parts, see `difflib.SequenceMatcher`.
  """
  found = difflib.get_close_matches(name, [*known], 1, likeness) if isinstance(name, str) else []
  return found[0] if found else None


def suggestion(name: Any, known: Iterable[str]) -> str:
  """Return `, nearest NAME` for a mistyped name, or nothing where none is like it."""
  found = nearest(name, known)
  return f', nearest {found}' if found else ''


def check_choice(what: str, value: Any, allowed: Collection[Any]) -> None:
  """Raise a `UserError` that lists the choices unless `value` is one of them."""
  if value not in allowed:
    raise UserError(f'unknown {value!r}; allowed: {", ".join(map(str, allowed))}', what)


def check_options(of: str, options: Iterable[str], allowed: Collection[str]) -> None:
  """Raise a `UserError` unless all options are among those that something takes.

  Args:
    of: what takes them, such as `resnet`.
    options: the names given.
    allowed: the names taken.
  """
  for option in options:
    if option not in allowed:
      listed = ', '.join(allowed) or 'none'
      close = suggestion(option, allowed)
      raise UserError(f'not an option of {of}{close}; allowed: {listed}', option)


def check_range(
    what: str, value: float, low: float, high: float, *, open_end: bool = False
) -> None:
  """Raise a `UserError` unless low <= value <= high (or low <= value < high)."""
  try:
    inside = bool(low <= value < high if open_end else low <= value <= high)
  except (TypeError, ValueError):  # no number
    inside = False
  if not inside:
    end = ')' if open_end else ']'
    raise UserError(f'{value!r} is out of range; allowed: [{low}, {high}{end}', what)


def is_whole(value: Any) -> bool:
  """Return whether a value is an integer of Python, NumPy or JAX, and no boolean."""
  try:
    return not isinstance(value, bool) and bool(operator.index(value) == value)
  except TypeError:
    return False


def check_whole(what: str, value: Any, low: int, high: int = HUGE) -> None:
  """Raise a `UserError` unless value is a whole number, not a bool, with low <= value <= high."""
  if not is_whole(value):
    raise UserError(f'{value!r}; allowed: a whole number from {low} to {high}', what)
  check_range(what, value, low, high)
