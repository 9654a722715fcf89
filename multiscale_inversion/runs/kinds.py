"""Kinds of values read from files: a test, and words for what it allows."""

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from multiscale_inversion import options
from multiscale_inversion.errors import HUGE, UserError

_LARGE = 1e300  # less than the greatest float, so that sums of such numbers are finite


class Kind(NamedTuple):
  """A kind of value: a test, and words for the values that pass."""

  test: Callable[[Any], bool]
  words: str


def whole(low: int, high: int = HUGE) -> Kind:
  """Return the kind of integers from `low` to `high`, both included."""
  test = lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high
  return Kind(test, f'a whole number from {low} to {high}')


def number(low: float = -_LARGE, high: float = _LARGE, words: str = 'a number') -> Kind:
  """Return the kind of finite numbers from `low` to `high`, both included."""
  test = lambda v: isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high
  return Kind(test, words)


def list_of(kind: Kind, words: str) -> Kind:
  """Return the kind of lists and tuples whose values are all of one kind."""
  return Kind(lambda v: isinstance(v, list | tuple) and all(map(kind.test, v)), words)


BOOLEAN = Kind(lambda v: isinstance(v, bool), 'true or false')
TEXT = Kind(lambda v: isinstance(v, str), 'a string')
NAME = Kind(lambda v: isinstance(v, str) and bool(v), 'a string that is not empty')
OBJECT = Kind(lambda v: isinstance(v, dict), 'an object')
ANY = Kind(lambda v: True, 'anything')
ANY_NUMBER = Kind(lambda v: isinstance(v, int | float) and not isinstance(v, bool), 'a number')
PERCENT = number(0, 100, 'a number from 0 to 100')
AMOUNT = number(0, words='a number from 0 up')
POSITIVE = number(1e-300, words='a number above 0')
SCALARS = Kind(
    lambda v: isinstance(v, dict) and all(x is None or ANY_NUMBER.test(x) for x in v.values()),
    'an object of numbers',
)
# The kinds of a configuration's values, by the types of its keys; each key has limits of its own.
OF_TYPE = {type_: Kind(*rule) for type_, rule in options.TYPES.items()}


def check(value: Any, kind: Kind, where: str) -> None:
  """Raise a `UserError` that names the place unless a value is of a kind."""
  if not kind.test(value):
    raise UserError(f'{where}: {reprlib.repr(value)}; allowed: {kind.words}')


def check_keys(
    content: Mapping[str, Any], wanted: Mapping[str, Kind], where: str, what: str = 'it'
) -> None:
  """Raise a `UserError` unless an object has all keys, each with a value of its kind."""
  missing = [key for key in wanted if key not in content]
  if missing:
    raise UserError(f'{where}: {what} lacks {", ".join(missing)}')
  for key, kind in wanted.items():
    check(content[key], kind, f'{where}: {key}')
