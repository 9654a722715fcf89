"""The networks by name."""

from typing import Any

import jax.numpy as jnp

from multiscale_inversion.errors import UserError, WrongType, check_whole
from multiscale_inversion.networks.cnn_1d import CNN1D
from multiscale_inversion.networks.large_cnn import LargeCNN
from multiscale_inversion.networks.mlp import MLP
from multiscale_inversion.networks.network import Network
from multiscale_inversion.networks.recurrent import GRU, LSTM
from multiscale_inversion.networks.resnet import ResNet
from multiscale_inversion.networks.vit import VisionTransformer
from multiscale_inversion.options import Option, defaults_of
from multiscale_inversion.registry import Registry

_NETWORKS: Registry[Network] = Registry(
    {
        'large_cnn': LargeCNN,
        'resnet': ResNet,
        'mlp': MLP,
        'cnn_1d': CNN1D,
        'lstm': LSTM,
        'gru': GRU,
        'vit': VisionTransformer,
    },
    # From the data and from how the network is trained; the last two are Flax's.
    supplied=('num_classes', 'axis_name', 'dtype', 'parent', 'name'),
)


def names() -> tuple[str, ...]:
  """Return the names that `create` takes."""
  return _NETWORKS.names()


def register(name: str, network: type[Network]) -> None:
  """Make a subclass of `LayeredNetwork` or `UnstagedNetwork` known to `create`.

  Its attributes are its options: they are checked, and reachable from a configuration, by their
  annotations, see `multiscale_inversion.options`.

  Raises:
    UserError: for another class or name, see also `Registry.register`.
  """
  if not (isinstance(network, type) and issubclass(network, Network)):
    what = getattr(network, '__name__', f'a {type(network).__name__}')
    raise WrongType(
        f'network {name}: {what}; allowed: a subclass of networks.LayeredNetwork or '
        'networks.UnstagedNetwork'
    )
  _NETWORKS.register(name, network)


def options(name: str) -> dict[str, Option]:
  """Return the options that the network called `name` takes beside the number of classes."""
  return _NETWORKS.options(name)


def defaults(name: str) -> dict[str, Any]:
  """Return the defaults of `options(name)`; None where an option is required."""
  return defaults_of(options(name))


def create(
    name: str,
    num_classes: int,
    axis_name: str | None = None,
    dtype: str | None = None,
    **options: Any,
) -> Network:
  """Return the network called `name`, a Flax module that returns every activation.

  Args:
    name: one of `names()`.
    num_classes: number of classes C, at least 2 (with one, entropy is always zero).
    axis_name: mapped axis over whose devices a batch is spread, for networks that take statistics
      over it; None for one device.
    dtype: type of the activations between the input and the logits; the input's when None.
    **options: the module's attributes, of `options(name)`.

  Raises:
    UserError: for an unknown name, an option that the network does not have, or a value out of
      range.

  Example:
    >>> network = create('resnet', num_classes=10, blocks_per_group=2, width=8)
    >>> network.blocks_per_group
    2
  """
  check_whole('num_classes', num_classes, 2)
  _check_dtype(dtype)
  taken = getattr(_NETWORKS[name], '__dataclass_fields__', {})
  if dtype is not None and 'dtype' not in taken:
    raise UserError(f'{name} computes in its input\'s type only, not in {dtype}', 'dtype')
  surroundings = {'axis_name': axis_name, 'dtype': dtype}
  options |= {key: value for key, value in surroundings.items() if key in taken}
  return _NETWORKS.create(name, num_classes=num_classes, **options)


def _check_dtype(dtype: Any) -> None:
  try:
    floating = dtype is None or jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
  except TypeError:
    floating = False
  if not floating:
    raise UserError(f'{dtype!r}; allowed: None, or a floating-point type, as bfloat16', 'dtype')
