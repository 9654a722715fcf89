"""Multilayer perceptron."""


import flax.linen as nn
import jax

from multiscale_inversion.networks.normalized import LayerOptions, NormalizedNetwork, finish_layer
from multiscale_inversion.nn import layers
from multiscale_inversion.options import Positive


class DenseLayer(nn.Module):
  """Dense map, batch norm, nonlinearity, dropout: one layer, on inputs of any shape, flattened.

  Attributes:
    features: number of units.
    options: the network's.
  """

  features: int
  options: LayerOptions

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Maps [N, ...] to [N, features]."""
    options = self.options
    dense = nn.Dense(
        self.features,
        use_bias=False,
        kernel_init=layers.initializer(options.initializer),
        dtype=options.dtype,
        name='dense',
    )
    return finish_layer(options, dense(layers.flatten(z)), train, inverse)


class MLP(NormalizedNetwork):
  """Hidden layers of equal width, and a dense classifier: L = depth + 1.

  Attributes (beside those of `NormalizedNetwork`):
    depth: number of hidden layers, at least 1.
    width: units of each, at least 1.
  """

  num_axes = range(2, 33)

  depth: Positive = 3
  width: Positive = 256

  def setup(self):
    """Makes the layers."""
    options = self.layer_options()
    hidden = [DenseLayer(self.width, options) for _ in range(self.depth)]
    classifier = layers.Classifier(self.num_classes, self.initializer, self.dtype)
    self.layers = [*hidden, classifier]
