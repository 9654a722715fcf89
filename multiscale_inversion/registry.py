"""Things by name: the library's own, and a user's."""

from collections.abc import Mapping
from typing import TypeVar

from multiscale_inversion.errors import UserError

Value = TypeVar('Value')


class Registry(dict[str, Value]):
  """Values by name, as `data.name` or `network.name` take them.

  Args:
    key: of the configuration, for errors.
    own: the library's, whose names stay theirs.
  """

  def __init__(self, key: str, own: Mapping[str, Value]):
    super().__init__(own)
    self._key = key
    self._own = frozenset(own)

  def names(self) -> tuple[str, ...]:
    """All names."""
    return tuple(self)

  def __getitem__(self, name: str) -> Value:
    """The value of a name; a `UserError` that lists the names for another one."""
    if not isinstance(name, str) or name not in self:
      listed = ', '.join(self.names())
      raise UserError(
          f'{self._key}: unknown {name!r}; allowed: {listed}, or what a file of yours registers '
          '(--config=FILE; in Python, import it)'
      )
    return super().__getitem__(name)

  def register(self, name: str, value: Value) -> None:
    """Adds a value, or replaces one that was added: a configuration file may run twice.

    Raises:
      ValueError: if the name is one of the library's own, or has a sign that means something else.
    """
    if name in self._own:
      raise ValueError(f'{self._key}: {name!r} is the library\'s own')
    if not name.isidentifier():
      raise ValueError(f'{self._key}: {name!r}; allowed: letters, digits and underscores')
    self[name] = value
