"""The networks by name."""

import inspect
from typing import Any

import jax.numpy as jnp

from multiscale_inversion.errors import UserError, check_options, check_whole
from multiscale_inversion.networks import options as options_lib
from multiscale_inversion.networks.cnn_1d import CNN1D
from multiscale_inversion.networks.large_cnn import LargeCNN
from multiscale_inversion.networks.mlp import MLP
from multiscale_inversion.networks.network import Network
from multiscale_inversion.networks.recurrent import GRU, LSTM
from multiscale_inversion.networks.resnet import ResNet
from multiscale_inversion.networks.vit import VisionTransformer
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

# What a network takes from where and how it is trained, beside its own options.
_SURROUNDINGS = ('axis_name', 'dtype')


def names() -> tuple[str, ...]:
  """The names that `create` takes."""
  return _NETWORKS.names()


def register(name: str, network: type[Network]) -> None:
  """Makes a subclass of `LayeredNetwork` or `UnstagedNetwork` known to `create` as `name`.

  Raises:
    UserError: for something else.
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
  """The class of the network called `name`; its signature has the options and their defaults."""
  return _NETWORKS[name]


def defaults(name: str) -> dict[str, Any]:
  """The options that the network called `name` takes, with their defaults."""
  parameters = inspect.signature(constructor(name)).parameters
  return {option: parameters[option].default for option in option_names(name)}


def option_names(name: str) -> tuple[str, ...]:
  """The options that the network called `name` takes beside the number of classes."""
  taken = {'num_classes', *_SURROUNDINGS, 'parent', 'name'}
  return tuple(p for p in inspect.signature(constructor(name)).parameters if p not in taken)


def _check_dtype(dtype: Any) -> None:
  try:
    floating = dtype is None or jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
  except TypeError:
    floating = False
  if not floating:
    raise UserError(f'dtype: {dtype!r}; allowed: None, or a floating-point type, as bfloat16')


def create(
    name: str,
    num_classes: int,
    axis_name: str | None = None,
    dtype: str | None = None,
    **options,
) -> Network:
  """Returns the network called `name`, a Flax module that returns every activation.

  Args:
    name: one of `names()`.
    num_classes: number of classes C, at least 2 (with one, entropy is always zero).
    axis_name: mapped axis over whose devices a batch is spread, for networks that take statistics
      over it; None for one device.
    dtype: type of the activations between the input and the logits; the input's when None.
    **options: the module's attributes, one of `option_names(name)` each.

  Raises:
    UserError: for an unknown name, an option that the network does not have, or a value out of
      range.

  Example:
    >>> network = create('resnet', num_classes=10, blocks_per_group=2, width=8)
    >>> network.blocks_per_group
    2
  """
  check_options('network', name, options, option_names(name))
  options_lib.check(options)
  check_whole('network: num_classes', num_classes, 2)
  _check_dtype(dtype)
  parameters = inspect.signature(_NETWORKS[name]).parameters
  if dtype is not None and 'dtype' not in parameters:
    raise UserError(f'precision: {name} computes in its input\'s type only, not in {dtype}')
  surroundings = {'axis_name': axis_name, 'dtype': dtype}
  options |= {key: value for key, value in surroundings.items() if key in parameters}
  return _NETWORKS[name](num_classes=num_classes, **options)
