"""The paper's Large CNN (Section 3.1)."""

from typing import Any

import flax.linen as nn
import jax

from multiscale_inversion.errors import UserError
from multiscale_inversion.networks.base import LayeredNetwork
from multiscale_inversion.nn import functions
from multiscale_inversion.nn.blocks import BlockOptions, Classifier, ConvBlock
from multiscale_inversion.nn.convolution import Padding
from multiscale_inversion.options import Positive

GLOBAL = 0
# From the input on: number of filters as a multiple of the width, size of the filters, padding,
# size of the pooling windows. The paper prints 6 for the last pooling, which is all of space for
# 32x32 images; global pooling takes images of any size.
LAYERS: tuple[tuple[int, int, Padding, int], ...] = (
    (1, 3, 'same', 1),
    (1, 3, 'full', 1),
    (1, 3, 'full', 2),
    (2, 3, 'valid', 1),
    (2, 3, 'full', 1),
    (2, 3, 'valid', 2),
    (2, 3, 'valid', 1),
    (2, 1, 'same', GLOBAL),
)
MINIMAL_IMAGE = 12


class ConvLayer(nn.Module):
  """A `ConvBlock` and pooling: one layer of the paper's CNN.

  Attributes:
    features: number of filters.
    kernel_size: edge of the filters.
    padding: `same`, `valid` or `full`.
    pool_size: edge of a pooling window; 1 for none, `GLOBAL` for the mean over all of space.
    pooling: `mean` or `max`.
    options: those of the network.
  """

  features: int
  kernel_size: int
  padding: Padding
  pool_size: int
  pooling: functions.Pooling
  options: BlockOptions

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Map [N, H, W, C] to [N, H', W', features], or to [N, features] by global pooling."""
    block = ConvBlock(self.features, self.kernel_size, self.padding, self.options, name='block')
    z = block(z, train, inverse)
    if self.pool_size == GLOBAL:
      return functions.global_mean(z)
    return functions.pool(z, self.pool_size, self.pooling)


class LargeCNN(BlockOptions, LayeredNetwork):
  """Eight convolutional layers and a dense classifier: L = 9, 1,370,986 parameters on 32x32x3.

  Attributes (beside those of `Network` and `BlockOptions`):
    pooling: `mean` or `max`, for the two inner poolings.
    width: number of filters of the first three layers, at least 1; the others have twice as many.
  """

  num_axes = (4,)

  pooling: functions.Pooling = 'mean'
  width: Positive = 96

  def setup(self) -> None:
    """Make the layers."""
    options = self.block_options()
    convolutions = [
        ConvLayer(multiple * self.width, kernel_size, padding, pool_size, self.pooling, options)
        for multiple, kernel_size, padding, pool_size in LAYERS
    ]
    self.layers = [*convolutions, Classifier(self.num_classes, self.initializer, self.dtype)]

  @nn.nowrap
  def as_observations(self, x: Any, train: bool) -> jax.Array:
    """See `Network`; images must be at least 12 pixels high and wide.

    Raises:
      UserError: also if images are smaller.
    """
    x = super().as_observations(x, train)
    if min(x.shape[1:3]) < MINIMAL_IMAGE:
      raise UserError(
          f'network large_cnn: images are {x.shape[1]}x{x.shape[2]}; allowed: at least '
          f'{MINIMAL_IMAGE}x{MINIMAL_IMAGE} (resnet takes smaller ones)'
      )
    return x
