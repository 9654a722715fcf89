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

import jax
import numpy as np
from ml_collections import ConfigDict

import multiscale_inversion
from multiscale_inversion.objectives import ContextTerm, Objective


def describe(value: Any) -> str:
  """A loss by its name and a digest of its source and of all that it closes over or reads.

  What it reads are the constants, functions, classes and objects of the user's own files. What it
  takes from installed packages counts by its name; of their objects, what they keep to themselves
  does not count.
  """
  digest = hashlib.sha256(_Walk().text(value).encode()).hexdigest()[:8]
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


_LEAVES = (str, bytes, int, float, complex, bool, range, type(None), type(...))


class _Walk:
  """Everything that decides what a value computes, as text; each thing once, then by its number."""

  def __init__(self):
    self._numbers: dict[int, int] = {}
    self._alive: list[Any] = []  # or another would take its place in memory

  def text(self, value: Any) -> str:
    if isinstance(value, _LEAVES):
      return repr(value)
    if id(value) in self._numbers:
      return f'#{self._numbers[id(value)]}'
    self._numbers[id(value)] = len(self._numbers)
    self._alive.append(value)
    kind = getattr(value, '__qualname__', type(value).__qualname__)
    return f'{kind}[{", ".join(map(self.text, _inside(value)))}]{_plain(value)}'


def _inside(value: Any) -> Iterable[Any]:
  """What a value is made of."""
  for kind, parts in _INSIDE.items():
    if isinstance(value, kind):
      return parts(value)
  if hasattr(value, '__wrapped__'):  # a function that `jax.jit`, say, has compiled
    return (value.__wrapped__,)
  return _of_object(value)


def _of_function(function: types.FunctionType) -> Iterable[Any]:
  captured = [_content(cell) for cell in function.__closure__ or ()]
  return captured, function.__defaults__, function.__kwdefaults__, _globals(function)


def _content(cell: types.CellType) -> Any:
  try:
    return cell.cell_contents
  except ValueError:  # not filled yet
    return None


def _of_class(kind: type) -> Iterable[Any]:
  """What a class of the user's, and its bases that are, say."""
  return [_entries(vars(base)) for base in kind.__mro__ if _is_users(base)]


def _of_object(value: Any) -> Iterable[Any]:
  if dataclasses.is_dataclass(value):
    return (*(getattr(value, field.name) for field in dataclasses.fields(value)), type(value))
  if not _is_users(type(value)):
    return ()
  slots = [name for base in type(value).__mro__ for name in vars(base).get('__slots__', ())]
  found = {name: getattr(value, name, None) for name in slots} | getattr(value, '__dict__', {})
  return _entries(found), type(value)


_INSIDE: dict[Any, Callable[[Any], Iterable[Any]]] = {
    Mapping: lambda mapping: mapping.items(),
    ConfigDict: lambda config: config.to_dict().items(),
    list | tuple: lambda values: values,
    set | frozenset: lambda values: sorted(values, key=repr),
    functools.partial: lambda partial: (partial.func, partial.args, partial.keywords),
    functools.cached_property: lambda made: (made.func,),
    property: lambda made: (made.fget, made.fset, made.fdel),
    types.FunctionType: _of_function,
    types.MethodType: lambda method: (method.__func__, method.__self__),
    jax.custom_jvp: lambda function: (function.fun, function.jvp),
    jax.custom_vjp: lambda function: (function.fun, function.fwd, function.bwd),
    type: _of_class,
}


def _entries(content: Mapping[str, Any]) -> list[tuple[str, Any]]:
  """What a class or an object has of its user's, without what Python adds."""
  own = ('__call__', '__init__', '__post_init__')
  return [(k, v) for k, v in content.items() if k in own or not k.startswith('__')]


def _globals(function: types.FunctionType) -> list[tuple[str, Any]]:
  """What a function of the user's takes from its module, and from others of the user's."""
  if not _is_users(function):
    return []
  return _taken(function.__globals__, _names(function.__code__), frozenset())


def _taken(
    content: Mapping[str, Any], names: frozenset[str], outer: frozenset[int]
) -> list[tuple[str, Any]]:
  """Of the names, those that a module has; of a module among them, those that it has in turn."""
  found = []
  for name in sorted(names & content.keys()):
    value = content[name]
    if not isinstance(value, types.ModuleType):
      found.append((name, value))
    elif _is_users(value) and id(value) not in outer:
      inner = _taken(vars(value), names, outer | {id(value)})
      found += [(f'{name}.{attribute}', part) for attribute, part in inner]
  return found


def _names(code: types.CodeType) -> frozenset[str]:
  """The global names and attributes that a function's code and the code in it read."""
  inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
  return frozenset(code.co_names).union(*map(_names, inner))


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
  if isinstance(value, types.FunctionType):
    return _source(value.__code__) if _is_users(value) else str(value.__module__)
  if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
    return f'{value.dtype}{_plain(jax.random.key_data(value))}'
  if hasattr(value, '__array__') and not isinstance(value, type):
    array = np.asarray(value)
    return f'{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()}'
  return ''


def _source(code: types.CodeType) -> str:
  """A function's source, or what it was compiled to where its file is not there."""
  try:
    return inspect.getsource(code)  # of this function, not of one that it wraps
  except OSError:
    inner = [_source(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return f'{code.co_code.hex()}{code.co_names}{code.co_varnames}{code.co_freevars}{inner}'
