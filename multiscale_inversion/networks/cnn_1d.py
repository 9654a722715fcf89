"""One-dimensional convolutional network, for raw signals.

The case of the method's predecessor: Balestriero, Glotin, Baraniuk, "Semi-Supervised Learning via
New Deep Network Inversion", arXiv:1711.04313.
"""

import flax.linen as nn
import jax

from multiscale_inversion.networks.base import LayeredNetwork
from multiscale_inversion.nn import functions
from multiscale_inversion.nn.blocks import BlockOptions, Classifier, norm_activation_dropout
from multiscale_inversion.nn.convolution import Conv
from multiscale_inversion.options import Positive


class SignalLayer(nn.Module):
  """Convolution over time, batch norm, nonlinearity, dropout, pooling by 2 or over all of time.

  Attributes:
    features: number of filters.
    kernel_size: length of the filters, an odd number.
    last: take the mean over all of time, in place of pooling by 2.
    pooling: `mean` or `max`, for the pooling by 2.
    options: those of the network.
  """

  features: int
  kernel_size: int
  last: bool
  pooling: functions.Pooling
  options: BlockOptions

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Map [N, time, C] to [N, time // 2, features], or to [N, features] if it is the last one."""
    common = functions.kernel_options(self.options.initializer, self.options.dtype)
    rows = functions.as_sequence(z)[:, None]
    z = Conv(self.features, (1, self.kernel_size), name='conv', **common)(rows)
    z = norm_activation_dropout(z, self.options, train, inverse)
    return functions.global_mean(z) if self.last else functions.pool(z, (1, 2), self.pooling)[:, 0]


class CNN1D(BlockOptions, LayeredNetwork):
  """Convolutional layers over time; each has twice the width and half the time of the one before.

  Sequences enter as [N, time, features]; the rows of images are taken as time. L = depth + 1.

  Attributes (beside those of `Network` and `BlockOptions`):
    pooling: `mean` or `max`, between the layers.
    depth: number of convolutional layers, at least 1; time must be at least 2 ** (depth - 1).
    width: filters of the first layer.
    kernel_size: length of the filters.
  """

  num_axes = range(3, 33)

  pooling: functions.Pooling = 'mean'
  depth: Positive = 3
  width: Positive = 32
  kernel_size: Positive = 5

  def setup(self) -> None:
    """Make the layers."""
    options = self.block_options()
    layers: list[nn.Module] = []
    for index in range(self.depth):
      features, last = self.width * 2**index, index == self.depth - 1
      layers.append(SignalLayer(features, self.kernel_size, last, self.pooling, options))
    self.layers = [*layers, Classifier(self.num_classes, self.initializer, self.dtype)]
