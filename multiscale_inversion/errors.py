"""Checks of a user's input: each error is one line that names what is wrong and what is allowed."""

from collections.abc import Collection, Iterable
from typing import Any


class UserError(ValueError):
  """Something that the user can mend; shown as one line, without a traceback, by the programs."""


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
  inside = low <= value < high if open_end else low <= value <= high
  if not inside:
    end = ')' if open_end else ']'
    raise UserError(f'{what}: {value!r} is out of range; allowed: [{low}, {high}{end}')
