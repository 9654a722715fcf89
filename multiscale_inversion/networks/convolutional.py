"""What the convolutional networks share: convolution to dropout in one block, and pooling."""


import flax.linen as nn
import jax

from multiscale_inversion.networks.normalized import LayerOptions, NormalizedNetwork, finish_layer
from multiscale_inversion.nn import layers
from multiscale_inversion.nn.convolution import Conv


class ConvBlock(nn.Module):
  """Convolution, batch norm, nonlinearity, dropout, in this order (Section 3.1).

  Attributes:
    features: number of filters.
    kernel_size: edge of the filters.
    padding: `same`, `valid` or `full`.
    options: the network's.
  """

  features: int
  kernel_size: int
  padding: str
  options: LayerOptions

  @nn.compact
  def __call__(self, z: jax.Array, train: bool, inverse: bool) -> jax.Array:
    """Maps [N, H, W, C] to [N, H', W', features]."""
    options = self.options
    z = Conv(
        self.features,
        (self.kernel_size, self.kernel_size),
        self.padding,
        kernel_init=layers.initializer(options.initializer),
        dtype=options.dtype,
        name='conv',
    )(z)
    return finish_layer(options, z, train, inverse)


class ConvolutionalNetwork(NormalizedNetwork):
  """Base of the convolutional networks.

  Attributes (beside those of `NormalizedNetwork`):
    pooling: mean (the paper's, except for MNIST) or maximum.
  """

  num_axes = (4,)

  pooling: layers.Pooling = 'mean'
