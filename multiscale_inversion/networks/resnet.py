"""The paper's simplified wide residual networks (Section 3.1)."""

import flax.linen as nn
import jax

from multiscale_inversion.networks.convolutional import ConvBlock, ConvolutionalNetwork
from multiscale_inversion.networks.normalized import LayerOptions
from multiscale_inversion.nn import layers
from multiscale_inversion.nn.convolution import Conv
from multiscale_inversion.options import Positive

NUM_GROUPS = 3


class ResidualBlock(nn.Module):
  """f(z) = W z + f_conv(z): one layer of the residual networks.

  W is a linear 1x1 convolution on every shortcut; f_conv is a 3x3 `ConvBlock`.

  Attributes:
    features: number of filters of both.
    pool_size: edge of the pooling window after the sum; 1 for none, 0 for the global mean.
    pooling: `mean` or `max`.
    options: the network's.
  """

  features: int
  pool_size: int
  pooling: str
  options: LayerOptions

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Maps [N, H, W, C] to [N, H', W', features], or to [N, features] by global pooling."""
    shortcut = Conv(
        self.features,
        (1, 1),
        kernel_init=layers.initializer(self.options.initializer),
        dtype=self.options.dtype,
        name='shortcut',
    )(z)
    branch = ConvBlock(self.features, 3, 'same', self.options, name='block')(z, train, inverse)
    z = shortcut + branch
    if self.pool_size == 0:
      return layers.global_mean(z)
    return layers.pool(z, self.pool_size, self.pooling)


class ResNet(ConvolutionalNetwork):
  """Resnet n-k: 3n residual blocks in three groups, and a dense classifier (L = 3n + 1).

  The first group has k filters a block; each later one twice as many as the one before, at half
  the resolution: the last blocks of the first two groups end in 2x2 pooling, the last block of all
  in the global mean. The paper's networks: Resnet3-64 (n = 3, k = 64; wide), Resnet6-32 (n = 6,
  k = 32; deep), Resnet2-32max (n = 2, k = 32, max pooling; MNIST).

  Attributes (beside those of `ConvolutionalNetwork`):
    blocks_per_group: residual blocks in each of the three groups, n.
    width: filters of a block of the first group, k.
  """

  blocks_per_group: Positive = 3
  width: Positive = 64

  def setup(self):
    """Makes the layers."""
    options = self.layer_options()
    blocks = []
    for group in range(NUM_GROUPS):
      for index in range(self.blocks_per_group):
        last = index == self.blocks_per_group - 1
        pool_size = (0 if group == NUM_GROUPS - 1 else 2) if last else 1
        width = self.width * 2**group
        blocks.append(ResidualBlock(width, pool_size, self.pooling, options))
    self.layers = [*blocks, layers.Classifier(self.num_classes, self.initializer, self.dtype)]
