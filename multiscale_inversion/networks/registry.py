"""The networks by name, and what their options may be."""

from typing import Any

import jax.numpy as jnp

from multiscale_inversion.errors import UserError, WrongType, check_whole
from multiscale_inversion.networks.base import Network
from multiscale_inversion.networks.cnn_1d import CNN1D
from multiscale_inversion.networks.large_cnn import LargeCNN
from multiscale_inversion.networks.mlp import MLP
from multiscale_inversion.networks.recurrent import GRU, LSTM
from multiscale_inversion.networks.resnet import ResNet
from multiscale_inversion.networks.vit import VisionTransformer
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
    # They depend on the data and on how a network is trained; the last two are Flax's.
    supplied=('num_classes', 'axis_name', 'dtype', 'parent', 'name'),
)

names, options, defaults = _NETWORKS.names, _NETWORKS.options, _NETWORKS.defaults
is_own = _NETWORKS.is_own


def register(name: str, network: type[Network]) -> None:
  """Make a custom network known to `create`.

  Its attributes are its options: their annotations say how they are checked, see
  `multiscale_inversion.options`, and a configuration can set them.

  Args:
    name: a new name.
    network: a subclass of `LayeredNetwork` or `UnstagedNetwork`.

  Raises:
    UserError: see `Registry.register`.
    WrongType: if `network` is not such a class.
  """
  if not (isinstance(network, type) and issubclass(network, Network)):
    what = getattr(network, '__name__', f'a {type(network).__name__}')
    raise WrongType(
        f'network {name}: {what}; allowed: a subclass of networks.LayeredNetwork or '
        'networks.UnstagedNetwork'
    )
  _NETWORKS.register(name, network)


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
    **options: attributes of the module, named in `options(name)`.

  Raises:
    UserError: if the name is unknown, the network does not have an option, or a value is out of
      range.

  Example:
    >>> network = create('resnet', num_classes=10, blocks_per_group=2, width=8)
    >>> network.blocks_per_group
    2
  """
  check_whole('num_classes', num_classes, 2)
  _check_dtype(dtype)
  if dtype is not None:
    if 'dtype' not in getattr(_NETWORKS[name], '__dataclass_fields__', {}):
      raise UserError(f'{name} computes in its input\'s type only, not in {dtype}', 'dtype')
    options['dtype'] = dtype
  return _NETWORKS.create(name, num_classes=num_classes, axis_name=axis_name, **options)


def _check_dtype(dtype: Any) -> None:
  try:
    floating = dtype is None or jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
  except TypeError:
    floating = False
  if not floating:
    raise UserError(f'{dtype!r}; allowed: None, or a floating-point type, as bfloat16', 'dtype')
