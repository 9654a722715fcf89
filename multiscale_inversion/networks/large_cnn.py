"""The paper's Large CNN (Section 3.1)."""

from typing import Any

import flax.linen as nn
import jax

from multiscale_inversion.errors import UserError
from multiscale_inversion.networks.convolutional import ConvBlock, ConvolutionalNetwork
from multiscale_inversion.networks.normalized import LayerOptions
from multiscale_inversion.nn import layers
from multiscale_inversion.options import Positive

GLOBAL = 0
# (number of filters by the width, size of filters, padding, pooling size), from the input on. The
# paper prints the last pooling as 6, all of space for 32x32 images; global pooling serves images of
# any size.
LAYERS = (
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
    features, kernel_size, padding, options: as in `ConvBlock`.
    pool_size: edge of a pooling window; 1 for none, `GLOBAL` for the mean over all of space.
    pooling: `mean` or `max`.
  """

  features: int
  kernel_size: int
  padding: str
  pool_size: int
  pooling: str
  options: LayerOptions

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Maps [N, H, W, C] to [N, H', W', features], or to [N, features] by global pooling."""
    block = ConvBlock(self.features, self.kernel_size, self.padding, self.options, name='block')
    z = block(z, train, inverse)
    if self.pool_size == GLOBAL:
      return layers.global_mean(z)
    return layers.pool(z, self.pool_size, self.pooling)


class LargeCNN(ConvolutionalNetwork):
  """Eight convolutional layers and a dense classifier: L = 9, 1,370,986 parameters on 32x32x3.

  Attributes (beside those of `ConvolutionalNetwork`, whose `pooling` is that of the two inner
  poolings):
    width: number of filters of the first three layers, at least 1; the others have twice as many.
  """

  width: Positive = 96

  def setup(self):
    """Makes the layers."""
    options = self.layer_options()
    convolutions = [
        ConvLayer(multiple * self.width, *layer, self.pooling, options)
        for multiple, *layer in LAYERS
    ]
    classifier = layers.Classifier(self.num_classes, self.initializer, self.dtype)
    self.layers = [*convolutions, classifier]

  @nn.nowrap
  def as_observations(self, x: Any, train: bool) -> jax.Array:
    """See `Network`; images are at least 12 pixels high and wide.

    Raises:
      UserError: for smaller ones, too.
    """
    x = super().as_observations(x, train)
    if min(x.shape[1:3]) < MINIMAL_IMAGE:
      raise UserError(
          f'network large_cnn: images are {x.shape[1]}x{x.shape[2]}; allowed: at least '
          f'{MINIMAL_IMAGE}x{MINIMAL_IMAGE} (resnet takes smaller ones)'
      )
    return x
