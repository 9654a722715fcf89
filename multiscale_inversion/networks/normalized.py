"""What the networks with batch norm share: their options, and what follows each linear map."""

import dataclasses
from typing import Annotated

import jax

from multiscale_inversion.networks.layered import LayeredNetwork
from multiscale_inversion.nn import layers
from multiscale_inversion.nn.batch_norm import INVERSE_MODES, BatchNorm
from multiscale_inversion.nn.dropout import Dropout
from multiscale_inversion.options import OneOf, Share, ShareBelowOne


@dataclasses.dataclass(frozen=True)
class LayerOptions:
  """What every layer of one network has in common, named as in `NormalizedNetwork`."""

  activation: str
  negative_slope: float
  dropout_rate: float
  batch_norm_inverse: str
  batch_norm_momentum: float
  batch_norm_epsilon: float
  initializer: str
  axis_name: str | None
  dtype: str | None


def finish_layer(options: LayerOptions, z: jax.Array, train: bool, inverse: bool) -> jax.Array:
  """Batch norm, nonlinearity, dropout, in this order (Section 3.1), in the calling module's scope.

  Args:
    options: the network's.
    z: what the layer's linear map gave, shape [N, ..., features].
    train: use batch statistics and dropout.
    inverse: whether `invert` differentiates this call.

  Returns:
    An array shaped like z.
  """
  z = BatchNorm(
      inverse_mode=options.batch_norm_inverse,
      momentum=options.batch_norm_momentum,
      epsilon=options.batch_norm_epsilon,
      axis_name=options.axis_name,
      name='norm',
  )(z, train=train, inverse=inverse)
  z = layers.activation(options.activation, options.negative_slope)(z)
  return Dropout(options.dropout_rate, name='dropout')(z, deterministic=not train)


class NormalizedNetwork(LayeredNetwork):
  """Base of the networks with batch norm.

  Attributes:
    num_classes: number of classes C.
    activation: nonlinearity of the layers.
    negative_slope: leaky_relu's slope below zero.
    dropout_rate: share of the activations dropped in training, in [0, 1).
    batch_norm_inverse: statistics in the inverse of batch norm, see `BatchNorm`.
    batch_norm_momentum: share of the old running statistics that a step keeps, in [0, 1).
    batch_norm_epsilon: number added to variances.
    initializer: initializer of all kernels.
    axis_name: mapped axis over whose devices the batch is spread, or None.
    dtype: type of the activations between the input and the logits; the input's when None.
  """

  num_classes: int
  activation: Annotated[str, OneOf(layers.ACTIVATIONS)] = 'leaky_relu'
  negative_slope: Share = 0.01
  dropout_rate: ShareBelowOne = 0.2
  batch_norm_inverse: Annotated[str, OneOf(INVERSE_MODES)] = 'frozen'
  batch_norm_momentum: ShareBelowOne = 0.9
  batch_norm_epsilon: Share = 1e-5
  initializer: layers.InitializerName = 'glorot_uniform'
  axis_name: str | None = None
  dtype: str | None = None

  def layer_options(self) -> LayerOptions:
    """The options that each layer takes."""
    names = [field.name for field in dataclasses.fields(LayerOptions)]
    return LayerOptions(**{name: getattr(self, name) for name in names})
