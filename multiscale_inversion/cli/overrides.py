"""The command line's part of a configuration: its file, the values that are changed, and help."""

import ast
import re
import reprlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.defaults import Key

_FILE = re.compile(r'--?config(?:=(.*))?', re.DOTALL)
_DATA = re.compile(r'--?data(?:=(.*))?', re.DOTALL)
_CHANGE = re.compile(r'--?(no)?config\.([^=]*)(?:=(.*))?', re.DOTALL)
_FOLDER = 'folder'  # the library's configuration for one's own images
_BOOLEANS = {'true': True, 't': True, '1': True, 'false': False, 'f': False, '0': False}
_WORDS = {
    bool: 'a boolean, true or false',
    int: 'an integer (int), as 3',
    float: 'a number (float), as 0.5',
    tuple: 'a tuple, as (1, 2)',
}
_LITERAL_ERRORS = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)


class Given(NamedTuple):
  """What a command line says about the configuration.

  Attributes:
    file: value of `--config`; None where there is none.
    changes: (key, value) of each `--config.KEY`, in order, as texts; a value is None where it is
      missing.
    rest: the other arguments, the program's name first.
    data: value of `--data`, which stands for the configuration `folder` and its `data.data_dir`;
      None where there is none.
  """

  file: str | None
  changes: tuple[tuple[str, str | None], ...]
  rest: list[str]
  data: str | None = None


def split(argv: Sequence[str]) -> Given:
  """Take what concerns the configuration out of a command line.

  A key's type decides whether its value may be missing, so that a command line is to be split again
  after a file has registered more options.

  Raises:
    UserError: if two files are given, or `--noconfig.KEY` has a value.
  """
  files, changes, rest, data = [], [], [], None
  arguments = list(argv)
  while arguments:
    argument = arguments.pop(0)
    file, change = _FILE.fullmatch(argument), _CHANGE.fullmatch(argument)
    folder = _DATA.fullmatch(argument)
    if argument == '--':
      rest += [argument, *arguments]
      break
    if file:
      files.append((arguments.pop(0) if arguments else '') if file[1] is None else file[1])
    elif folder:
      data = (arguments.pop(0) if arguments else '') if folder[1] is None else folder[1]
      if not data:
        raise UserError('--data: missing; allowed: a folder of images, or a CSV file')
      changes.append(('data.data_dir', data))
    elif change:
      changes.append(_change(argument, change[1], change[2], change[3], arguments))
    else:
      rest.append(argument)
  if len(files) > 1:
    raise UserError(f'--config: given {len(files)} times ({", ".join(files)}); allowed: once')
  if data is not None and not files:
    files = [_FOLDER]
  return Given(files[0] if files else None, tuple(changes), rest, data)


def _change(
    argument: str, no: str | None, key: str, value: str | None, following: list[str]
) -> tuple[str, str | None]:
  """Return the key and the text of its value, which may be the first of the following arguments."""
  if no:
    if value is not None:
      raise UserError(f'{argument}: allowed: --noconfig.{key}, or --config.{key}=VALUE')
    return key, 'false'
  if value is not None:
    return key, value
  known = defaults.keys()
  if key in known and known[key].types() == (bool,):
    return key, 'true'
  return key, following.pop(0) if following and not _FILE.fullmatch(following[0]) else None


def parse_value(key: str, text: str | None) -> Any:
  """Parse the value of a known key, by the types that its options have.

  Args:
    key: dotted.
    text: `None` where the default is None leaves the choice to the program.

  Raises:
    UserError: if the text is missing, or not a value of these types.
  """
  if text is None:
    raise UserError(f'Missing value for flag --config.{key}; allowed: --config.{key}=VALUE')
  entry = defaults.keys()[key]
  if text == 'None':
    if entry.declared:
      entry.declared.check(None, key)
    return None
  types = entry.types()
  if types == (object,):
    raise UserError(f'{_short(text)}; allowed: None here; set it in a configuration file', key)
  for type_ in sorted(types, key=lambda type_: type_ is str):  # a string is whatever is left
    try:
      return _PARSERS[type_](text)
    except _LITERAL_ERRORS:
      continue
  words = ', or '.join(_WORDS[type_] for type_ in types)
  raise UserError(f'{key}={_short(text)}: allowed: {words}')


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


_PARSERS: dict[type, Callable[[str], Any]] = {
    bool: _boolean,
    int: int,
    float: float,
    tuple: _tuple,
    str: str,
}


def apply(config: ConfigDict, changes: Sequence[tuple[str, str | None]]) -> None:
  """Set the values of a configuration; of a key that is given twice, the last one.

  Args:
    config: changed in place.
    changes: keys that `config.check_key` has passed, and the texts of their values.

  Raises:
    UserError: for a value of another type.
  """
  for key, text in changes:
    value = parse_value(key, text)
    section, _, name = key.rpartition('.')
    try:
      (config[section] if section else config)[name] = value
    except (TypeError, ValueError) as error:  # the file has given the key another type
      shown, reason = _short(text or ''), ' '.join(str(error).split())
      raise UserError(f'{key}={shown}: {reason}') from error


def help_text() -> str:
  """Return a text that lists every key with its values, its default and its meaning."""
  entries = [_help(key, entry) for key, entry in sorted(defaults.keys().items())]
  return '\n'.join(['Keys of the configuration, given as --config.KEY=VALUE:', '', *entries])


def _help(key: str, entry: Key) -> str:
  """Return two lines: a key, what it may be and its default; and its meaning."""
  allowed = ' or '.join(dict.fromkeys(option.allowed() for option in entry.all()))
  meaning = next(filter(None, (option.meaning for option in entry.all())), '')
  return f'{key}: {allowed}; {_help_on_default(entry)}\n    {meaning}'.rstrip()


def _help_on_default(entry: Key) -> str:
  if entry.declared:
    return f'default: {entry.declared.default!r}'
  takers: dict[str, list[str]] = {}
  for name, option in entry.options.items():
    if not option.required:
      takers.setdefault(repr(option.default), []).append(name)
  by_default = [f'{default} ({", ".join(names)})' for default, names in takers.items()]
  required = [name for name, option in entry.options.items() if option.required]
  return '; '.join(
      [f'default: {", ".join(by_default)}'] * bool(by_default)
      + [f'required by {", ".join(required)}'] * bool(required)
  )
