"""The networks by name, and what their options may be."""

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from multiscale_inversion.errors import (
    UserError,
    check_options,
    check_whole,
    in_choices,
    in_range,
)
from multiscale_inversion.networks.base import Network
from multiscale_inversion.networks.cnn_1d import CNN1D
from multiscale_inversion.networks.large_cnn import LargeCNN
from multiscale_inversion.networks.mlp import MLP
from multiscale_inversion.networks.recurrent import GRU, LSTM
from multiscale_inversion.networks.resnet import ResNet
from multiscale_inversion.networks.vit import VisionTransformer
from multiscale_inversion.nn import batch_norm, functions
from multiscale_inversion.registry import Registry

_NETWORKS: Registry[type[Network]] = Registry('network.name', {
    'large_cnn': LargeCNN,
    'resnet': ResNet,
    'mlp': MLP,
    'cnn_1d': CNN1D,
    'lstm': LSTM,
    'gru': GRU,
    'vit': VisionTransformer,
})

# Arguments that depend on where and how a network is trained; they are not options.
_SURROUNDINGS = ('axis_name', 'dtype')

_positive = lambda key, value: check_whole(key, value, 1)
# By an option's name, whichever network takes it; called as check(key, value), the key for errors.
OPTION_CHECKS: dict[str, Callable[[str, Any], None]] = {
    'blocks_per_group': _positive,
    'depth': _positive,
    'width': _positive,
    'kernel_size': _positive,
    'num_heads': _positive,
    'patch_size': _positive,
    'activation': in_choices(lambda: functions.ACTIVATIONS),
    'negative_slope': in_range(0, 1),
    'pooling': in_choices(lambda: functions.POOLINGS),
    'dropout_rate': in_range(0, 1, open_end=True),
    'batch_norm_inverse': in_choices(lambda: batch_norm.INVERSE_MODES),
    'batch_norm_momentum': in_range(0, 1, open_end=True),
    'batch_norm_epsilon': in_range(0, 1),
    'initializer': in_choices(lambda: functions.INITIALIZERS),
}


def names() -> tuple[str, ...]:
  """Return the names that `create` takes."""
  return _NETWORKS.names()


def register(name: str, network: type[Network]) -> None:
  """Make a custom network known to `create`.

  Args:
    name: a new name.
    network: a subclass of `LayeredNetwork` or `UnstagedNetwork`.

  Raises:
    UserError: if `network` is not such a class.
    ValueError: see `Registry.register`.
  """
  if not (isinstance(network, type) and issubclass(network, Network)):
    what = getattr(network, '__name__', f'a {type(network).__name__}')
    raise UserError(
        f'network {name}: {what}; allowed: a subclass of networks.LayeredNetwork or '
        'networks.UnstagedNetwork'
    )
  _NETWORKS.register(name, network)


def constructor(name: str) -> type[Network]:
  """Return the class of a network; its signature has the options and their defaults."""
  return _NETWORKS[name]


def option_names(name: str) -> tuple[str, ...]:
  """Return the names of a network's options, which `create` takes beside the number of classes."""
  others = {'num_classes', *_SURROUNDINGS, 'parent', 'name'}
  return tuple(p for p in inspect.signature(constructor(name)).parameters if p not in others)


def defaults(name: str) -> dict[str, Any]:
  """Return a network's options with their defaults."""
  parameters = inspect.signature(constructor(name)).parameters
  return {option: parameters[option].default for option in option_names(name)}


def create(
    name: str,
    num_classes: int,
    axis_name: str | None = None,
    dtype: str | None = None,
    **options: Any,
) -> Network:
  """Return a network by its name: a Flax module that returns every activation.

  Args:
    name: one of `names()`.
    num_classes: number of classes C, at least 2 (with one, entropy is always zero).
    axis_name: mapped axis over whose devices a batch is spread, for statistics over all of them;
      None for one device.
    dtype: type of the activations between the input and the logits; the input's when None.
    **options: attributes of the module, named in `option_names(name)`.

  Raises:
    UserError: if the name is unknown, the network does not have an option, or a value is out of
      range.

  Example:
    >>> network = create('resnet', num_classes=10, blocks_per_group=2, width=8)
    >>> network.blocks_per_group
    2
  """
  check_options('network', name, options, option_names(name))
  for option, value in options.items():
    if option in OPTION_CHECKS:
      OPTION_CHECKS[option](f'network.{option}', value)
  check_whole('network: num_classes', num_classes, 2)
  _check_dtype(dtype)
  if dtype is not None:
    if 'dtype' not in inspect.signature(constructor(name)).parameters:
      raise UserError(f'precision: {name} computes in its input\'s type only, not in {dtype}')
    options['dtype'] = dtype
  return constructor(name)(num_classes=num_classes, axis_name=axis_name, **options)


def _check_dtype(dtype: Any) -> None:
  try:
    floating = dtype is None or jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
  except TypeError:
    floating = False
  if not floating:
    raise UserError(f'dtype: {dtype!r}; allowed: None, or a floating-point type, as bfloat16')
