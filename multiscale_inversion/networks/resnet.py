"""The paper's simplified wide residual networks (Section 3.1)."""

import flax.linen as nn
import jax

from multiscale_inversion.networks.base import LayeredNetwork
from multiscale_inversion.nn import functions
from multiscale_inversion.nn.blocks import BlockOptions, Classifier, ConvBlock
from multiscale_inversion.nn.convolution import Conv
from multiscale_inversion.options import Positive

GLOBAL = 0
NUM_GROUPS = 3


class ResidualBlock(nn.Module):
  """f(z) = W z + f_conv(z): one layer of the residual networks.

  W is a linear 1x1 convolution on every shortcut; f_conv is a 3x3 `ConvBlock`.

  Attributes:
    features: number of filters of both.
    pool_size: edge of the pooling window after the sum; 1 for none, `GLOBAL` for the mean over all
      of space.
    pooling: `mean` or `max`.
    options: those of the network.
  """

  features: int
  pool_size: int
  pooling: functions.Pooling
  options: BlockOptions

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Map [N, H, W, C] to [N, H', W', features], or to [N, features] by global pooling."""
    common = functions.kernel_options(self.options.initializer, self.options.dtype)
    shortcut = Conv(self.features, (1, 1), name='shortcut', **common)(z)
    branch = ConvBlock(self.features, 3, 'same', self.options, name='block')(z, train, inverse)
    z = shortcut + branch
    if self.pool_size == GLOBAL:
      return functions.global_mean(z)
    return functions.pool(z, self.pool_size, self.pooling)


class ResNet(BlockOptions, LayeredNetwork):
  """Resnet n-k: 3n residual blocks in three groups, and a dense classifier (L = 3n + 1).

  The blocks of the first group have k filters. Each later group has twice as many filters as the
  one before, at half the resolution: the last blocks of the first two groups end in 2x2 pooling,
  and the last block of all ends in the global mean. The paper's networks are Resnet3-64 (wide),
  Resnet6-32 (deep) and, with max pooling, Resnet2-32max (MNIST).

  Attributes (beside those of `Network` and `BlockOptions`):
    pooling: mean, or maximum, which the paper takes for MNIST only.
    blocks_per_group: residual blocks in each of the three groups, n.
    width: filters of a block of the first group, k.
  """

  num_axes = (4,)

  pooling: functions.Pooling = 'mean'
  blocks_per_group: Positive = 3
  width: Positive = 64

  def setup(self) -> None:
    """Make the layers."""
    options = self.block_options()
    layers: list[nn.Module] = []
    for group in range(NUM_GROUPS):
      pool_size = GLOBAL if group == NUM_GROUPS - 1 else 2
      for size in [*[1] * (self.blocks_per_group - 1), pool_size]:
        layers.append(ResidualBlock(self.width * 2**group, size, self.pooling, options))
    self.layers = [*layers, Classifier(self.num_classes, self.initializer, self.dtype)]
