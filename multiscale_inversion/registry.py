"""Constructors by name: the library's own, and those that a user registers."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar

from multiscale_inversion.errors import UserError, WrongType, suggestion
from multiscale_inversion.options import Option, check_values, options_of

Made = TypeVar('Made')


class Registry(dict[str, Callable[..., Made]], Generic[Made]):
  """Constructors by name, with the options that their signatures declare.

  Args:
    own: the library's constructors, whose names cannot be registered again.
    supplied: names of the parameters that are no options: callers supply them.
    positional: how many of a constructor's first parameters callers supply, whatever their names.
    reserved: names that no option may have, as a configuration's section holds other values there.
    kind: put before a name in errors, such as `the data set`.
  """

  def __init__(
      self,
      own: Mapping[str, Callable[..., Made]],
      supplied: Collection[str] = (),
      positional: int = 0,
      reserved: Collection[str] = ('name',),
      kind: str = '',
  ):
    super().__init__(own)
    self._own, self._supplied, self._positional = frozenset(own), frozenset(supplied), positional
    self._reserved, self._kind = reserved, kind

  def names(self) -> tuple[str, ...]:
    """Return all names, in the order of their registration."""
    return tuple(self)

  def is_own(self, name: str) -> bool:
    """Return whether a name is the library's own, and no file has to register it."""
    return name in self._own

  def __getitem__(self, name: str) -> Callable[..., Made]:
    """Return the constructor of a name; raise a `UserError` that lists the names otherwise."""
    if not isinstance(name, str) or name not in self:
      unknown = f'unknown {name!r}{suggestion(name, self)}'
      raise UserError(
          f'{unknown}; allowed: {", ".join(self)}, or what a file of yours registers '
          '(--config=FILE; in Python, import it)',
          'name',
      )
    return super().__getitem__(name)

  def register(self, name: str, constructor: Callable[..., Made]) -> None:
    """Add a constructor, or replace one that was added: a configuration file may run twice.

    Args:
      name: letters, digits and underscores.
      constructor: a function or class; its parameters are its options.

    Raises:
      UserError: if the name is one of the library's own or no identifier, or if the constructor has
        an option of a reserved name.
      WrongType: if the constructor cannot be called, or not with what callers supply.
    """
    if name in self._own:
      raise UserError(f'{name!r} is the library\'s own', 'name')
    if not isinstance(name, str) or not name.isidentifier():
      raise UserError(f'{name!r}; allowed: letters, digits and underscores', 'name')
    if not callable(constructor):
      raise WrongType(f'a {type(constructor).__name__}; allowed: a function or a class', name)
    count = len(inspect.signature(constructor).parameters)
    if count < self._positional:
      raise WrongType(f'takes {count} arguments; allowed: at least {self._positional}', name)
    for option in options_of(constructor, self._supplied, self._positional):
      if option in self._reserved:
        listed = ', '.join(self._reserved)
        raise UserError(f'an option called {option!r}; allowed: names other than {listed}', name)
    self[name] = constructor

  def options(self, name: str) -> dict[str, Option]:
    """Return the options that the constructor of a name takes."""
    return options_of(self[name], self._supplied, self._positional)

  def defaults(self, name: str) -> dict[str, Any]:
    """Return the defaults of `options(name)`; None where an option is required."""
    return {key: option.default for key, option in self.options(name).items()}

  def create(self, name: str, *supplied: Any, **options: Any) -> Made:
    """Call the constructor of a name.

    Args:
      name: one of `names()`.
      *supplied: its first arguments, which are no options.
      **options: its options; parameters that are `supplied` may be among them.

    Raises:
      UserError: for an unknown name or option, a missing option, or a value that is not allowed.
    """
    own = {key: value for key, value in options.items() if key not in self._supplied}
    check_values(f'{self._kind} {name}'.strip(), own, self.options(name))
    return self[name](*supplied, **options)

