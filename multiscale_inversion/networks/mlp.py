"""Multilayer perceptron."""

import flax.linen as nn
import jax

from multiscale_inversion.networks.base import LayeredNetwork
from multiscale_inversion.nn import functions
from multiscale_inversion.nn.blocks import BlockOptions, Classifier, norm_activation_dropout
from multiscale_inversion.options import Positive


class DenseLayer(nn.Module):
  """Dense map, batch norm, nonlinearity, dropout; inputs of any shape are flattened.

  Attributes:
    features: number of units.
    options: those of the network.
  """

  features: int
  options: BlockOptions

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Map [N, ...] to [N, features]."""
    common = functions.kernel_options(self.options.initializer, self.options.dtype)
    dense = nn.Dense(self.features, use_bias=False, name='dense', **common)
    return norm_activation_dropout(dense(functions.flatten(z)), self.options, train, inverse)


class MLP(BlockOptions, LayeredNetwork):
  """Hidden layers of equal width, and a dense classifier: L = depth + 1.

  Attributes (beside those of `Network` and `BlockOptions`):
    depth: number of hidden layers, at least 1.
    width: units of each, at least 1.
  """

  num_axes = range(2, 33)

  depth: Positive = 3
  width: Positive = 256

  def setup(self) -> None:
    """Make the layers."""
    options = self.block_options()
    hidden = [DenseLayer(self.width, options) for _ in range(self.depth)]
    self.layers = [*hidden, Classifier(self.num_classes, self.initializer, self.dtype)]
