"""Checks of a user's input: each error is one line that names what is wrong and what is allowed."""

import operator
from collections.abc import Callable, Collection, Iterable
from typing import Any

HUGE = 2**31 - 1
_SHOWN = 300  # characters of a foreign error


class UserError(ValueError):
  """Something that the user can mend; shown as one line, without a traceback, by the programs."""


class StorageError(Exception):
  """Says that a run's folder cannot be written, such as where the disk is full."""


def one_line(error: BaseException) -> str:
  """Return the text of an error on one line, cut to what a person reads."""
  text = ' '.join(str(error).split()) or type(error).__name__
  return text if len(text) <= _SHOWN else text[:_SHOWN] + ' ...'


def check_choice(what: str, value: Any, allowed: Collection[Any]) -> None:
  """Raises a `UserError` that lists the choices unless `value` is one of them."""
  if value not in allowed:
    raise UserError(f'{what}: unknown {value!r}; allowed: {", ".join(map(str, allowed))}')


def check_options(
    section: str, of: str, options: Iterable[str], allowed: Collection[str]
) -> None:
  """Raises a `UserError` unless all options are among those that something takes.

  Args:
    section: of the configuration, as `network`.
    of: what takes them, as `resnet`.
    options: the names given.
    allowed: the names taken.
  """
  for option in options:
    if option not in allowed:
      listed = ', '.join(allowed) or 'none'
      raise UserError(f'{section}.{option}: not an option of {of}; allowed: {listed}')


def check_range(
    what: str, value: float, low: float, high: float, *, open_end: bool = False
) -> None:
  """Raises a `UserError` unless low <= value <= high (or low <= value < high)."""
  try:
    inside = bool(low <= value < high if open_end else low <= value <= high)
  except (TypeError, ValueError):  # no number
    inside = False
  if not inside:
    end = ')' if open_end else ']'
    raise UserError(f'{what}: {value!r} is out of range; allowed: [{low}, {high}{end}')


def check_whole(what: str, value: Any, low: int, high: int = HUGE) -> None:
  """Raises a `UserError` unless value is a whole number, not a bool, with low <= value <= high."""
  try:
    whole = operator.index(value) == value and not isinstance(value, bool)
  except TypeError:
    whole = False
  if not whole:
    raise UserError(f'{what}: {value!r}; allowed: a whole number from {low} to {high}')
  check_range(what, value, low, high)


def in_choices(allowed: Callable[[], Collection[Any]]) -> Callable[[str, Any], None]:
  """`check_choice` as a function of what and value; the choices are asked for when it is called."""
  return lambda what, value: check_choice(what, value, allowed())


def in_range(low: float, high: float, *, open_end: bool = False) -> Callable[[str, Any], None]:
  """`check_range` as a function of what and value."""
  return lambda what, value: check_range(what, value, low, high, open_end=open_end)
