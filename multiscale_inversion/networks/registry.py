"""The networks by name."""

import inspect

from multiscale_inversion.errors import UserError, check_choice
from multiscale_inversion.networks.large_cnn import LargeCNN
from multiscale_inversion.networks.layered import LayeredNetwork
from multiscale_inversion.networks.resnet import ResNet

_NETWORKS: dict[str, type[LayeredNetwork]] = {'large_cnn': LargeCNN, 'resnet': ResNet}


def names() -> tuple[str, ...]:
  """The names that `create` takes."""
  return tuple(_NETWORKS)


def register(name: str, network: type[LayeredNetwork]) -> None:
  """Makes `network`, a subclass of `LayeredNetwork`, known to `create` as `name`.

  Raises:
    ValueError: if the name is taken.
  """
  if name in _NETWORKS:
    raise ValueError(f'network: {name!r} is registered already')
  _NETWORKS[name] = network


def constructor(name: str) -> type[LayeredNetwork]:
  """The class of the network called `name`; its signature has the options and their defaults."""
  check_choice('network.name', name, names())
  return _NETWORKS[name]


def option_names(name: str) -> tuple[str, ...]:
  """The options that the network called `name` takes beside the number of classes."""
  taken = {'num_classes', 'parent', 'name'}
  return tuple(p for p in inspect.signature(constructor(name)).parameters if p not in taken)


def create(name: str, num_classes: int, **options) -> LayeredNetwork:
  """Returns the network called `name`, a Flax module that returns every activation.

  Args:
    name: one of `names()`.
    num_classes: number of classes C, at least 2 (with one, entropy is always zero).
    **options: the module's attributes, one of `option_names(name)` each.

  Raises:
    UserError: for an unknown name, or an option that the network does not have.

  Example:
    >>> network = create('resnet', num_classes=10, blocks_per_group=2, width=8)
    >>> network.blocks_per_group
    2
  """
  allowed = option_names(name)
  for option in options:
    if option not in allowed:
      raise UserError(f'network.{option}: not an option of {name}; allowed: {", ".join(allowed)}')
  if num_classes < 2:
    raise UserError(f'network: num_classes is {num_classes}; allowed: at least 2')
  return _NETWORKS[name](num_classes=num_classes, **options)
