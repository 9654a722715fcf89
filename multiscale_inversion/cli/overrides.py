"""The command line's part of a configuration: its file, and the values that are changed."""

import ast
import re
import reprlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.config import flatten, type_of

_FILE = re.compile(r'--?config(?:=(.*))?', re.DOTALL)
_CHANGE = re.compile(r'--?(no)?config\.([^=]*)(?:=(.*))?', re.DOTALL)
_BOOLEANS = {'true': True, 't': True, '1': True, 'false': False, 'f': False, '0': False}
_WORDS = {
    bool: 'a boolean, true or false',
    int: 'an integer (int), as 3',
    float: 'a number (float), as 0.5',
    tuple: 'a tuple, as (1, 2)',
}
_LITERAL_ERRORS = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)


class Given(NamedTuple):
  """What a command line says of the configuration.

  Attributes:
    file: of `--config`; None where there is none.
    changes: (key, value) of each `--config.KEY`, in order; a value of None has none in the text.
    rest: the other arguments, the program's name first.
  """

  file: str | None
  changes: tuple[tuple[str, str | None], ...]
  rest: list[str]


def split(argv: Sequence[str]) -> Given:
  """Takes what concerns the configuration out of a command line.

  Raises:
    UserError: if two files are given, or a value is missing.
  """
  files, changes, rest = [], [], []
  arguments = iter(argv)
  for argument in arguments:
    file, change = _FILE.fullmatch(argument), _CHANGE.fullmatch(argument)
    if argument == '--':
      rest += [argument, *arguments]
    elif file:
      files.append(next(arguments, '') if file[1] is None else file[1])
    elif change:
      changes.append(_change(argument, *change.groups(), arguments))
    else:
      rest.append(argument)
  if len(files) > 1:
    raise UserError(f'--config: given {len(files)} times ({", ".join(files)}); allowed: once')
  return Given(files[0] if files else None, tuple(changes), rest)


def _change(argument, no, key, value, arguments) -> tuple[str, str]:
  """The key and the text of its value, which may be the next argument."""
  if no:
    if value is not None:
      raise UserError(f'{argument}: allowed: --noconfig.{key}, or --config.{key}=VALUE')
    return key, 'false'
  if value is not None:
    return key, value
  if type_of(key) is bool:
    return key, 'true'
  value = next(arguments, None)
  if value is None:
    raise UserError(f'Missing value for flag --config.{key}; allowed: --config.{key}=VALUE')
  return key, value


def parse_value(key: str, text: str) -> Any:
  """Parses the value of a known key, by the type that the defaults give it.

  Args:
    key: dotted.
    text: `None` where the default is None leaves the choice to the program.

  Raises:
    UserError: if the text is not a value of this type.
  """
  type_ = type_of(key)
  if text == 'None':
    if flatten(defaults.get_config()).get(key) is not None:
      raise UserError(f'{key}: None; allowed: a value, as by default')
    return None
  if type_ is str or type_ is None:
    return text
  if type_ not in _PARSERS:
    raise UserError(f'{key}: {_short(text)}; allowed: None here; set it in a configuration file')
  try:
    return _PARSERS[type_](text)
  except _LITERAL_ERRORS:
    raise UserError(f'{key}={_short(text)}: allowed: {_WORDS[type_]}') from None


def _short(text: str) -> str:
  return reprlib.repr(text)[1:-1]


def _boolean(text: str) -> bool:
  if text.lower() not in _BOOLEANS:
    raise ValueError
  return _BOOLEANS[text.lower()]


def _tuple(text: str) -> tuple[Any, ...]:
  value = ast.literal_eval(text)
  if isinstance(value, list | tuple):
    return tuple(value)
  if isinstance(value, int | float):
    return (value,)
  raise ValueError


_PARSERS = {bool: _boolean, int: int, float: float, tuple: _tuple}


def apply(config: ConfigDict, changes: Sequence[tuple[str, str]]) -> None:
  """Sets the values of a configuration; of a key that is given twice, the last one.

  Args:
    config: changed in place.
    changes: keys that `validation.check_key` has passed, and the texts of their values.

  Raises:
    UserError: for a value of another type.
  """
  for key, text in changes:
    value = parse_value(key, text)
    section, _, name = key.rpartition('.')
    try:
      (config[section] if section else config)[name] = value
    except (TypeError, ValueError) as error:  # the file has given the key another type
      raise UserError(f'{key}={_short(text)}: {" ".join(str(error).split())}') from error
