"""A configuration as a run records it, and whether a run that resumes still has the same one."""

import functools
import hashlib
import inspect
import json
import os
import re
import warnings
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from multiscale_inversion.errors import UserError
from multiscale_inversion.files import read_bytes
from multiscale_inversion.objectives import ContextTerm, Objective
from multiscale_inversion.runs.config import flatten, from_record, resolve

# Keys that may differ when a run resumes: places, how often to look, and names for other keys.
FREE_KEYS = (
    'recipe',
    'data.data_dir',
    'data.note',
    'data.placement',
    'num_devices',
    'checkpoint_every_seconds',
)
_LIBRARY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), '')
# Earlier versions recorded a digest of the function's source and of all that it used.
_EARLIER = re.compile(r'(?P<name>.*) \(source [0-9a-f]{8}\)')
_NAMED = re.compile(r'(?P<name>.*) \((?:sha256 [0-9a-f]{64}|no file)\)')


def as_json(content: Any, file: bytes | None = None) -> Any:
  """Return the content as it would be read back from JSON: tuples as lists, functions by name.

  Args:
    content: nested dictionaries and lists.
    file: the content of the configuration file, see `describe`.

  Raises:
    TypeError: if a value is neither JSON nor callable.
  """

  def default(value: Any) -> str:
    if not callable(value):
      raise TypeError(f'{value!r} cannot be written to a file')
    return describe(value, file)

  return json.loads(json.dumps(content, default=default))


def describe(value: Any, file: bytes | None = None) -> str:
  """Return a custom loss's qualified name and the SHA-256 of the file that defines it.

  Args:
    value: the loss.
    file: the content of the configuration file; the file in which the loss is defined if None.
  """
  content = source_of(value) if file is None else file
  digest = 'no file' if content is None else f'sha256 {hashlib.sha256(content).hexdigest()}'
  return f'{_name(value)} ({digest})'


def source_of(value: Any) -> bytes | None:
  """Return the content of the file that defines a loss.

  None if no file does, or if it is the library's: its version says what it computes.
  """
  if isinstance(value, Objective):
    return next((source for _, term in value.terms if (source := source_of(term))), None)
  if isinstance(value, ContextTerm):
    return source_of(value.loss)
  if isinstance(value, functools.partial):
    return source_of(value.func)
  value = inspect.unwrap(value)
  try:
    path = inspect.getfile(value if hasattr(value, '__qualname__') else type(value))
    return None if os.path.abspath(path).startswith(_LIBRARY) else read_bytes(path)
  except (TypeError, UserError):  # a builtin, or defined in no file
    return None


def _name(value: Any) -> str:
  if isinstance(value, Objective):
    return 'sum of ' + ', '.join(_name(term) for _, term in value.terms)
  if isinstance(value, ContextTerm):
    return _name(value.loss)
  if isinstance(value, functools.partial):
    return _name(value.func)
  name = getattr(value, '__qualname__', type(value).__qualname__)
  return name.partition('.<locals>')[0]  # the function that made it


def check_same(
    found: Mapping[str, Any], config: ConfigDict, file: bytes | None, folder: str
) -> None:
  """Check that a recorded configuration is the given one, apart from `FREE_KEYS`.

  Args:
    found: the content of `config.json`. Missing keys are younger than the run, and count as their
      defaults.
    config: the resolved configuration of the run that is to go on.
    file: the content of its file, see `describe`.
    folder: the run's folder, for the message.

  Raises:
    UserError: if they differ: lists the differences.

  Warns:
    UserWarning: if an earlier version recorded a custom loss, of which only the name is compared.
  """
  recorded, wanted = (
      flatten(ConfigDict(as_json(one.to_dict(), file)))
      for one in (resolve(from_record(found)), config)
  )
  differences = [
      f'{key} was {recorded.get(key)!r}, now {wanted.get(key)!r}'
      for key in sorted({*recorded, *wanted})
      if not _same(recorded.get(key), wanted.get(key), folder) and key not in FREE_KEYS
  ]
  if differences:
    raise UserError(
        f'{folder} holds a run of another configuration: {"; ".join(differences)}; '
        'give --workdir=DIR for a new run, or the old configuration to go on with this one'
    )


def _same(old: Any, new: Any, folder: str) -> bool:
  if old == new:
    return True
  if not (isinstance(old, str) and isinstance(new, str)):
    return False
  earlier, now = _EARLIER.fullmatch(old), _NAMED.fullmatch(new)
  if not (earlier and now and earlier['name'] == now['name']):
    return False
  warnings.warn(
      f'{folder}: an earlier version recorded the loss {old}; only its name is compared',
      stacklevel=4,
  )
  return True
