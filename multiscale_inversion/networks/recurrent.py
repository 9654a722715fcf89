"""Recurrent networks over sequences: LSTM and GRU."""

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from multiscale_inversion.networks.base import LayeredNetwork
from multiscale_inversion.nn import functions
from multiscale_inversion.nn.blocks import Classifier
from multiscale_inversion.nn.dropout import Dropout
from multiscale_inversion.options import Positive, ShareBelowOne


class RecurrentLayer(nn.Module):
  """A recurrent cell that runs over time, and dropout of its outputs.

  Attributes:
    cell: Flax's class of the cell.
    features: number of units.
    dropout_rate: share of the outputs dropped in training.
    last: keep the output at the last time only.
    dtype: type of the activations; the input's when None.
  """

  cell: Callable[..., nn.RNNCellBase]
  features: int
  dropout_rate: float
  last: bool
  dtype: str | None

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Map [N, time, C] to [N, time, features], or to [N, features] if it is the last one."""
    del inverse
    z = functions.as_sequence(z)
    cell = self.cell(self.features, dtype=self.dtype, name='cell')
    # Flax starts from zeros of the parameters' type, not of the activations'. A recurrence has one
    # type, so that integers and half precision need the cast that other layers do themselves. Only
    # shapes are taken from Flax, whose function also draws random keys, for zeros.
    carry = jax.eval_shape(
        lambda: cell.initialize_carry(jax.random.key(0), (z.shape[0], z.shape[2]))
    )
    dtypes = [leaf.dtype for leaf in jax.tree.leaves(carry)]
    z = z.astype(self.dtype or jnp.result_type(z, *dtypes))
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, z.dtype), carry)
    recurrence: Any = nn.RNN(cell, name='recurrence')
    z = recurrence(z, initial_carry=start)
    if self.last:
      z = z[:, -1]
    return Dropout(self.dropout_rate, name='dropout')(z, deterministic=not train)


class RecurrentNetwork(LayeredNetwork):
  """Base of the recurrent networks, in which a layer's activation is its sequence of outputs.

  Sequences enter as [N, time, features]; the rows of images are taken as time. L = depth + 1.

  Attributes (beside those of `Network`):
    depth: number of recurrent layers, at least 1.
    width: units of each, at least 1.
    dropout_rate: share of the outputs dropped in training, in [0, 1).
    initializer: a name in `functions.INITIALIZERS`, for the classifier's kernel.
    dtype: type of the activations between the input and the logits; the input's when None.
  """

  CELL: ClassVar[Callable[..., nn.RNNCellBase]]

  num_axes = range(3, 33)

  depth: Positive = 2
  width: Positive = 64
  dropout_rate: ShareBelowOne = 0.2
  initializer: functions.Initializer = 'glorot_uniform'
  dtype: str | None = None

  def setup(self) -> None:
    """Make the layers."""
    recurrent = [
        RecurrentLayer(
            self.CELL, self.width, self.dropout_rate, index == self.depth - 1, self.dtype
        )
        for index in range(self.depth)
    ]
    self.layers = [*recurrent, Classifier(self.num_classes, self.initializer, self.dtype)]


class LSTM(RecurrentNetwork):
  """Long short-term memory (Hochreiter and Schmidhuber, 1997); see `RecurrentNetwork`."""

  CELL = nn.OptimizedLSTMCell


class GRU(RecurrentNetwork):
  """Gated recurrent units (Cho et al., arXiv:1406.1078); see `RecurrentNetwork`."""

  CELL = nn.GRUCell
