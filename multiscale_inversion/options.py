"""Options: what a constructor takes, read from its signature, annotations and docstring.

The constructor is the one place where an option is written down: `options_of` of

    def noise(std: Annotated[float, Range(0, 100)] = 0.15) -> Augmentation:

holds the option's name, type, default and range, and its meaning from the docstring's `Args`.
Configurations, their checks, `--help` and the checks of `create` are all made from that. A choice
is a `Literal`, or a `OneOf` where the names are computed. A parameter without an annotation has the
type of its default.
"""

import collections.abc
import dataclasses
import functools
import inspect
import numbers
import re
import reprlib
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, NamedTuple

from multiscale_inversion.errors import (
    HUGE,
    UserError,
    check_choice,
    check_options,
    check_range,
    is_whole,
)


class Range(NamedTuple):
  """Numbers from `low` to `high`, the latter excluded if `open_end`."""

  low: float
  high: float = HUGE
  open_end: bool = False

  def check(self, what: str, value: Any) -> None:
    """Raise a `UserError` that names `what` for a number outside."""
    check_range(what, value, self.low, self.high, open_end=self.open_end)

  def __str__(self):
    return f'[{self.low}, {self.high}{")" if self.open_end else "]"}'


class OneOf(NamedTuple):
  """Choices that are computed: a collection, or a function that returns them when asked."""

  choices: Collection[Any] | Callable[[], Collection[Any]]

  def check(self, what: str, value: Any) -> None:
    """Raise a `UserError` that names `what` and lists the choices for another value."""
    check_choice(what, value, self.listed())

  def listed(self) -> Collection[Any]:
    """Return the choices that there are now."""
    return self.choices() if callable(self.choices) else self.choices

  def __str__(self):
    return ', '.join(map(str, self.listed()))


class Check(NamedTuple):
  """Any other condition: a function of what and value that raises, and words for what it takes."""

  check: Callable[[str, Any], None]
  words: str

  def __str__(self):
    return self.words


Positive = Annotated[int, Range(1)]
Share = Annotated[float, Range(0, 1)]
ShareBelowOne = Annotated[float, Range(0, 1, open_end=True)]
Amount = Annotated[float, Range(0, 1e6)]


def _is_number(value: Any) -> bool:
  real = isinstance(value, numbers.Real) and not isinstance(value, bool)
  return real or (getattr(value, 'shape', None) == () and value.dtype.kind in 'iuf')


def _is_sequence(value: Any) -> bool:
  return isinstance(value, list | tuple | range) or getattr(value, 'ndim', None) == 1


# The types that an option may have: a test, and words. Any other one is `object`.
TYPES: dict[type, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), 'true or false'),
    int: (is_whole, 'a whole number'),
    float: (_is_number, 'a number'),
    str: (lambda value: isinstance(value, str), 'a string'),
    tuple: (_is_sequence, 'a tuple'),
    object: (lambda value: True, 'anything'),
}
_ELEMENTS = {
    int: (lambda value: all(map(is_whole, value)), 'a tuple of whole numbers'),
    float: (lambda value: all(map(_is_number, value)), 'a tuple of numbers'),
    str: (lambda value: all(isinstance(v, str) for v in value), 'a tuple of strings'),
}


@dataclasses.dataclass(frozen=True)
class Option:
  """One option of a constructor.

  Attributes:
    name: of the parameter.
    types: keys of `TYPES`, one of which the value has.
    default: used where no value is given; None where `required`.
    required: whether there is no default.
    optional: whether None is a value.
    constraints: what a value other than None also meets.
    elements: type of a tuple's elements, if it is known.
    meaning: the parameter's text in the docstring, its first sentence; may be empty.
  """

  name: str
  types: tuple[type, ...]
  default: Any = None
  required: bool = False
  optional: bool = False
  constraints: tuple[Range | OneOf | Check, ...] = ()
  elements: type | None = None
  meaning: str = ''

  def check(self, value: Any, what: str | None = None) -> None:
    """Check a value.

    Args:
      value: any.
      what: its name in the error; the option's unless given.

    Raises:
      UserError: for a value of another type, or one that a constraint excludes.
    """
    what = what or self.name
    if value is None:
      if not self.optional:
        raise UserError(f'None; allowed: a value ({self.allowed()})', what)
      return
    if not any(self._has_type(type_, value) for type_ in self.types):
      allowed = self._type_and_constraints()
      raise UserError(f'{reprlib.repr(value)}; allowed: {allowed}', what)
    for constraint in self.constraints:
      constraint.check(what, value)

  def allowed(self) -> str:
    """Return words for the values that are allowed."""
    listed = any(isinstance(constraint, OneOf) for constraint in self.constraints)
    if listed or (self.types == (float,) and self.constraints):
      return ', '.join(map(str, self.constraints))
    return self._type_and_constraints()

  def _has_type(self, type_: type, value: Any) -> bool:
    test, _ = TYPES[type_]
    if not test(value):
      return False
    return type_ is not tuple or self.elements is None or _ELEMENTS[self.elements][0](value)

  def _type_and_constraints(self) -> str:
    words = TYPES | ({tuple: _ELEMENTS[self.elements]} if self.elements else {})
    types_ = ' or '.join(words[type_][1] for type_ in self.types)
    return ', '.join([types_, *map(str, self.constraints)])


@functools.lru_cache(maxsize=512)
def options_of(
    constructor: Callable[..., Any], supplied: frozenset[str] = frozenset(), positional: int = 0
) -> dict[str, Option]:
  """Return the options of a constructor, by their names and in their order.

  Args:
    constructor: a function, or a class whose signature has the options; its `*args` and `**kwargs`
      are no options.
    supplied: names of parameters that are no options.
    positional: how many of the first parameters are none, whatever their names.

  Returns:
    A dictionary that callers share: not to be changed.
  """
  parameters = list(inspect.signature(constructor).parameters.values())[positional:]
  hints, meanings = _hints(constructor), _meanings(constructor)
  return {
      parameter.name: _option(
          parameter, hints.get(parameter.name, parameter.annotation),
          meanings.get(parameter.name, ''),
      )
      for parameter in parameters
      if parameter.name not in supplied
      and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
  }


def defaults_of(options: Mapping[str, Option]) -> dict[str, Any]:
  """Return the defaults of options by name; None where an option is required."""
  return {name: option.default for name, option in options.items()}


def check_values(of: str, options: Mapping[str, Any], known: Mapping[str, Option]) -> None:
  """Check options and their values before a constructor is called with them.

  Args:
    of: what takes them, such as `resnet`, for the errors.
    options: by name.
    known: the options that it takes.

  Raises:
    UserError: for an option that is unknown or missing, or a value that is not allowed.
  """
  check_options(of, options, known)
  for name, option in known.items():
    if name in options:
      option.check(options[name])
    elif option.required:
      raise UserError(f'{of} needs it; allowed: {option.allowed()}', name)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
  """Check the arguments of every call of a function by its annotations."""
  signature, known = inspect.signature(function), options_of(function)

  @functools.wraps(function)
  def call(*args, **kwargs):
    for name, value in signature.bind(*args, **kwargs).arguments.items():
      known[name].check(value)
    return function(*args, **kwargs)

  return call


def _hints(constructor: Callable[..., Any]) -> dict[str, Any]:
  """Return the annotations, with those that are strings evaluated where that is possible."""
  places = (constructor, getattr(constructor, '__init__', None))
  found: dict[str, Any] = {}
  for place in places if isinstance(constructor, type) else [inspect.unwrap(constructor)]:
    try:
      found |= typing.get_type_hints(place, include_extras=True)
    except (NameError, TypeError, AttributeError):
      continue  # a name that only type checkers know, or an object without annotations
  return found


# A whole number as the default does not say that others are excluded.
_TYPE_OF_DEFAULT = {bool: bool, int: int | float, float: float, str: str, tuple: tuple, list: tuple}


def _option(parameter: inspect.Parameter, annotation: Any, meaning: str) -> Option:
  required = parameter.default is parameter.empty
  default = None if required else parameter.default
  if annotation is parameter.empty:
    annotation = _TYPE_OF_DEFAULT.get(type(default), Any)
  allowed, constraints, elements = _parse(annotation)
  optional = type(None) in allowed or allowed == [object] or (default is None and not required)
  types_ = tuple(t for t in dict.fromkeys(allowed) if t is not type(None)) or (object,)
  if types_ == (int,) and not any(isinstance(c, Range | OneOf) for c in constraints):
    constraints = [Range(-HUGE), *constraints]  # JAX has no larger ones
  return Option(
      parameter.name,
      (object,) if object in types_ else types_,
      default,
      required,
      optional,
      tuple(constraints),
      elements,
      meaning,
  )


def _parse(annotation: Any) -> tuple[list[type], list[Any], type | None]:
  """Return the types that an annotation allows, its constraints, and the type of elements."""
  origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
  if origin is Annotated:
    types_, constraints, elements = _parse(arguments[0])
    given = [c for c in arguments[1:] if isinstance(c, Range | OneOf | Check)]
    return types_, constraints + given, elements
  if origin is typing.Literal:
    return [*dict.fromkeys(map(type, arguments))], [OneOf(arguments)], None
  if origin in (typing.Union, types.UnionType):
    parts = [_parse(argument) for argument in arguments]
    of_elements = [elements for _, _, elements in parts if elements]
    return (
        [type_ for part in parts for type_ in part[0]],
        [constraint for part in parts for constraint in part[1]],
        of_elements[0] if of_elements else None,
    )
  if annotation is type(None) or annotation is None:
    return [type(None)], [], None
  if (origin or annotation) in (tuple, list, collections.abc.Sequence, collections.abc.Iterable):
    return [tuple], [], arguments[0] if arguments and arguments[0] in _ELEMENTS else None
  return [annotation if annotation in (bool, int, float, str) else object], [], None


_HEADING = re.compile(r'(Args|Attributes)\b.*:$')
_ENTRY = re.compile(r'([\w, *]+): (.*)')
_SENTENCE_END = re.compile(r'(?<!Eq)\.\s+(?=[A-Z`])')


def _meanings(constructor: Callable[..., Any]) -> dict[str, str]:
  """Return the first sentences of the parameters' texts, in a class those of its bases, too."""
  found: dict[str, str] = {}
  bases = constructor.__mro__ if isinstance(constructor, type) else [constructor]
  for base in bases:
    doc = base.__dict__.get('__doc__') if isinstance(base, type) else base.__doc__
    found = _entries(inspect.cleandoc(doc)) | found if isinstance(doc, str) else found
  first = lambda text: _SENTENCE_END.split(text, maxsplit=1)[0].rstrip('.')
  return {name: first(text) for name, text in found.items()}


def _entries(doc: str) -> dict[str, str]:
  """Return the texts of the entries below `Args:` and `Attributes:`, each on one line."""
  found: dict[str, str] = {}
  inside = False
  names: list[str] = []
  for line in doc.splitlines():
    text, indent = line.strip(), len(line) - len(line.lstrip())
    if not indent and text:
      inside, names = bool(_HEADING.match(text)), []
    entry = _ENTRY.match(text) if inside and indent == 2 else None
    if entry:
      names = [name.strip(' *') for name in entry[1].split(',')]
      found |= dict.fromkeys(names, entry[2])
    elif inside and indent > 2:
      found |= {name: f'{found[name]} {text}' for name in names}
  return found
