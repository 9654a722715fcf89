"""Names for losses of a user's own that change when what they compute does."""

import dataclasses
import functools
import hashlib
import importlib.metadata
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

import multiscale_inversion
from multiscale_inversion.objectives import ContextTerm, Objective


def describe(value: Any) -> str:
  """A loss by its name and a digest of its source and of all that it closes over or reads.

  What it reads are the constants, functions and classes of the user's own files; what it takes from
  installed packages counts by its name.
  """
  digest = hashlib.sha256(_parts(value, frozenset()).encode()).hexdigest()[:8]
  return f'{_name(value)} (source {digest})'


def _name(value: Any) -> str:
  if isinstance(value, Objective):
    return 'sum of ' + ', '.join(_name(term) for _, term in value.terms)
  if isinstance(value, ContextTerm):
    return _name(value.loss)
  if isinstance(value, functools.partial):
    return _name(value.func)
  name = getattr(value, '__qualname__', type(value).__qualname__)
  return name.partition('.<locals>')[0]  # what made it


def _parts(value: Any, outer: frozenset[int]) -> str:
  """Everything that decides what a value computes, as text."""
  if id(value) in outer:  # a function that calls itself
    return 'itself'
  kind = getattr(value, '__qualname__', type(value).__qualname__)
  inner = outer | {id(value)}
  return f'{kind}[{", ".join(_parts(part, inner) for part in _inside(value))}]{_plain(value)}'


def _inside(value: Any) -> Iterable[Any]:
  """What a value is made of."""
  for kind, parts in _INSIDE.items():
    if isinstance(value, kind):
      return parts(value)
  if hasattr(value, '__wrapped__'):  # a function that `jax.jit`, say, has compiled
    return (value.__wrapped__,)
  return _of_object(value)


def _of_function(function: types.FunctionType) -> Iterable[Any]:
  captured = [cell.cell_contents for cell in function.__closure__ or ()]
  return captured, function.__defaults__, function.__kwdefaults__, _globals(function)


def _of_object(value: Any) -> Iterable[Any]:
  if dataclasses.is_dataclass(value):
    return (*(getattr(value, field.name) for field in dataclasses.fields(value)), type(value))
  if _is_users(type(value)):
    return _entries(getattr(value, '__dict__', {})), type(value)
  return ()


_INSIDE: dict[Any, Callable[[Any], Iterable[Any]]] = {
    Mapping: lambda mapping: mapping.items(),
    list | tuple: lambda values: values,
    functools.partial: lambda partial: (partial.func, partial.args, partial.keywords),
    types.FunctionType: _of_function,
    types.MethodType: lambda method: (method.__func__, method.__self__),
    type: lambda kind: _entries(vars(kind)) if _is_users(kind) else (),
}


def _entries(content: Mapping[str, Any]) -> list[tuple[str, Any]]:
  """What a class or an object has of its user's, without what Python adds."""
  own = ('__call__', '__init__', '__post_init__')
  return [(k, v) for k, v in content.items() if k in own or not k.startswith('__')]


def _globals(function: types.FunctionType) -> list[tuple[str, Any]]:
  """What a function of the user's takes from its module: constants, functions, classes.

  Of modules, what it may take from those of the user's. Packages are told by their names.
  """
  if not _is_users(function):
    return []
  names = _names(function.__code__)
  found = []
  for name in names:
    value = function.__globals__.get(name)
    if isinstance(value, types.ModuleType):
      members = vars(value) if _is_users(value) else {}
      found += [(f'{name}.{inner}', members[inner]) for inner in names if inner in members]
    elif value is not None:
      found.append((name, value))
  return found


def _names(code: types.CodeType) -> list[str]:
  """The global names and attributes that a function's code and the code in it read."""
  names = {*code.co_names}
  for constant in code.co_consts:
    if isinstance(constant, types.CodeType):
      names |= {*_names(constant)}
  return sorted(names)


@functools.cache
def _packages() -> frozenset[str]:
  """The top-level modules of the standard library and of installed packages."""
  installed = importlib.metadata.packages_distributions()
  return frozenset({*sys.stdlib_module_names, *installed, multiscale_inversion.__name__})


def _is_users(value: Any) -> bool:
  """Whether a function, a class or a module is of no package, so of a file of the user's."""
  name = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
  return (name or '').partition('.')[0] not in _packages()


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
    code = function.__code__
    plain = [value for value in code.co_consts if not isinstance(value, types.CodeType)]
    return f'{code.co_code.hex()}{plain}'
