"""One-dimensional convolutional network, on raw signals.

The case of the method's predecessor: Balestriero, Glotin, Baraniuk, "Semi-Supervised Learning via
New Deep Network Inversion", arXiv:1711.04313.
"""


import flax.linen as nn
import jax

from multiscale_inversion.networks.convolutional import ConvolutionalNetwork
from multiscale_inversion.networks.normalized import LayerOptions, finish_layer
from multiscale_inversion.nn import layers
from multiscale_inversion.nn.convolution import Conv
from multiscale_inversion.options import Positive


class SignalLayer(nn.Module):
  """Convolution over time, batch norm, nonlinearity, dropout, pooling by 2 or over all of time.

  Attributes:
    features: number of filters.
    kernel_size: their length, an odd number.
    last: whether the pooling is the mean over all of time.
    pooling: `mean` or `max`, of the others.
    options: the network's.
  """

  features: int
  kernel_size: int
  last: bool
  pooling: str
  options: LayerOptions

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Maps [N, time, C] to [N, time // 2, features], or to [N, features] by the last pooling."""
    options = self.options
    z = layers.as_sequence(z)
    z = Conv(
        self.features,
        (1, self.kernel_size),
        kernel_init=layers.initializer(options.initializer),
        dtype=options.dtype,
        name='conv',
    )(z[:, None])
    z = finish_layer(options, z, train, inverse)
    if self.last:
      return layers.global_mean(z)
    return layers.pool(z, (1, 2), self.pooling)[:, 0]


class CNN1D(ConvolutionalNetwork):
  """Convolutional layers over time, the width doubled and time halved from each to the next.

  Sequences enter as [N, time, features]; of images, rows are taken as time. L = depth + 1.

  Attributes (beside those of `ConvolutionalNetwork`):
    depth: number of convolutional layers, at least 1; time must be at least 2 ** (depth - 1).
    width: filters of the first.
    kernel_size: length of the filters.
  """

  num_axes = range(3, 33)

  depth: Positive = 3
  width: Positive = 32
  kernel_size: Positive = 5

  def setup(self):
    """Makes the layers."""
    options = self.layer_options()
    convolutions = [
        SignalLayer(
            self.width * 2**index, self.kernel_size, index == self.depth - 1, self.pooling, options
        )
        for index in range(self.depth)
    ]
    classifier = layers.Classifier(self.num_classes, self.initializer, self.dtype)
    self.layers = [*convolutions, classifier]
