"""Recurrent networks over sequences: LSTM and GRU."""

from typing import ClassVar

import flax.linen as nn
import jax

from multiscale_inversion.networks.layered import LayeredNetwork
from multiscale_inversion.nn import layers
from multiscale_inversion.nn.dropout import Dropout
from multiscale_inversion.options import Positive, ShareBelowOne


class RecurrentLayer(nn.Module):
  """A recurrent cell run over time, and dropout of its outputs.

  Attributes:
    cell: Flax's cell class.
    features: number of units.
    dropout_rate: share of the outputs dropped in training.
    last: whether only the output at the last time is kept.
    dtype: type of the activations; the input's when None.
  """

  cell: type[nn.RNNCellBase]
  features: int
  dropout_rate: float
  last: bool
  dtype: str | None

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Maps [N, time, C] to [N, time, features], or to [N, features]."""
    del inverse
    z = layers.as_sequence(z)
    cell = self.cell(self.features, dtype=self.dtype, name='cell')
    # Flax starts from zeros of the parameters' type, whatever the activations' is.
    start = cell.initialize_carry(jax.random.key(0), (z.shape[0], z.shape[2]))
    start = jax.tree.map(lambda carry: carry.astype(self.dtype or z.dtype), start)
    z = nn.RNN(cell, name='recurrence')(z, initial_carry=start)
    if self.last:
      z = z[:, -1]
    return Dropout(self.dropout_rate, name='dropout')(z, deterministic=not train)


class RecurrentNetwork(LayeredNetwork):
  """Base of the recurrent networks: a layer's activation is its whole sequence of outputs.

  Sequences enter as [N, time, features]; of images, rows are taken as time. L = depth + 1.

  Attributes:
    num_classes: number of classes C.
    depth: number of recurrent layers, at least 1.
    width: units of each, at least 1.
    dropout_rate: share of the outputs dropped in training, in [0, 1).
    initializer: a name of `layers.INITIALIZERS`, for the classifier's kernel.
    dtype: type of the activations between the input and the logits; the input's when None.
  """

  CELL: ClassVar[type[nn.RNNCellBase]]

  num_axes = range(3, 33)

  num_classes: int
  depth: Positive = 2
  width: Positive = 64
  dropout_rate: ShareBelowOne = 0.2
  initializer: layers.InitializerName = 'glorot_uniform'
  dtype: str | None = None

  def setup(self):
    """Makes the layers."""
    recurrent = [
        RecurrentLayer(
            self.CELL, self.width, self.dropout_rate, index == self.depth - 1, self.dtype
        )
        for index in range(self.depth)
    ]
    classifier = layers.Classifier(self.num_classes, self.initializer, self.dtype)
    self.layers = [*recurrent, classifier]


class LSTM(RecurrentNetwork):
  """Long short-term memory (Hochreiter and Schmidhuber, 1997); see `RecurrentNetwork`."""

  CELL = nn.OptimizedLSTMCell


class GRU(RecurrentNetwork):
  """Gated recurrent units (Cho et al., arXiv:1406.1078); see `RecurrentNetwork`."""

  CELL = nn.GRUCell
