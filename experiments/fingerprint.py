"""Names for losses of a user's own that change when what they compute does."""

import dataclasses
import functools
import hashlib
import inspect
import types
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from multiscale_inversion.objectives import ContextTerm, Objective


def describe(value: Any) -> str:
  """A loss by its name and a digest of its source and of all that it closes over."""
  digest = hashlib.sha256(_parts(value, frozenset()).encode()).hexdigest()[:8]
  return f'{_name(value)} (source {digest})'


def _name(value: Any) -> str:
  if isinstance(value, Objective):
    return 'sum of ' + ', '.join(_name(term) for _, term in value.terms)
  if isinstance(value, ContextTerm):
    return _name(value.loss)
  if isinstance(value, functools.partial):
    return _name(value.func)
  return getattr(value, '__qualname__', type(value).__qualname__)


def _parts(value: Any, outer: frozenset[int]) -> str:
  """Everything that decides what a value computes, as text."""
  if id(value) in outer:  # a function that calls itself
    return 'itself'
  kind = getattr(value, '__qualname__', type(value).__qualname__)
  inner = outer | {id(value)}
  return f'{kind}[{", ".join(_parts(part, inner) for part in _inside(value))}]{_plain(value)}'


def _inside(value: Any) -> Iterable[Any]:
  """What a value is made of."""
  if isinstance(value, Mapping):
    return value.items()
  if isinstance(value, list | tuple):
    return value
  if isinstance(value, functools.partial):
    return value.func, value.args, value.keywords
  if isinstance(value, types.FunctionType):
    return [cell.cell_contents for cell in value.__closure__ or ()], value.__defaults__
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return [getattr(value, field.name) for field in dataclasses.fields(value)]
  return ()


def _plain(value: Any) -> str:
  """What is to be said of a value beside its parts."""
  if isinstance(value, str | int | float | bool | None):
    return repr(value)
  if isinstance(value, types.FunctionType):
    return _source(value)
  if hasattr(value, '__array__'):
    array = np.asarray(value)
    return f'{array.dtype}{array.shape}{array.tobytes().hex()}'
  return ''


def _source(function: types.FunctionType) -> str:
  try:
    return inspect.getsource(function)
  except OSError:
    return function.__code__.co_code.hex()
