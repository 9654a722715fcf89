"""What values from outside may be, with words for it."""

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from multiscale_inversion.errors import HUGE, UserError

_LARGE = 1e300  # less than the greatest float, so that sums of such numbers are finite


class Kind(NamedTuple):
  """What a value may be: a test, and words for it."""

  test: Callable[[Any], bool]
  words: str


def whole(low: int, high: int = HUGE) -> Kind:
  """An integer of a range, its ends among them."""
  test = lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high
  return Kind(test, f'a whole number from {low} to {high}')


def number(low: float = -_LARGE, high: float = _LARGE, words: str = 'a number') -> Kind:
  """A finite number of a range, its ends among them."""
  test = lambda v: isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high
  return Kind(test, words)


def list_of(kind: Kind, words: str) -> Kind:
  """A list or a tuple, each of its values of a kind."""
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
# Of a configuration's values. The limits of numbers are each key's own.
OF_TYPE = {
    bool: BOOLEAN,
    int: Kind(lambda v: isinstance(v, int) and not isinstance(v, bool), 'a whole number'),
    float: ANY_NUMBER,
    str: TEXT,
    tuple: list_of(ANY_NUMBER, 'a tuple of numbers'),
    object: ANY,
}


def check(value: Any, kind: Kind, where: str) -> None:
  """Raises a `UserError` that names the place unless a value is of a kind."""
  if not kind.test(value):
    raise UserError(f'{where}: {reprlib.repr(value)}; allowed: {kind.words}')


def check_keys(
    content: Mapping[str, Any], wanted: Mapping[str, Kind], where: str, what: str = 'it'
) -> None:
  """Raises a `UserError` unless an object has all of the keys, each with a value of its kind."""
  missing = [key for key in wanted if key not in content]
  if missing:
    raise UserError(f'{where}: {what} lacks {", ".join(missing)}')
  for key, kind in wanted.items():
    check(content[key], kind, f'{where}: {key}')
