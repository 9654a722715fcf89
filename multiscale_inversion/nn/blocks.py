"""Blocks that the families of networks are composed of, and the options that the blocks share."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from multiscale_inversion.nn import functions
from multiscale_inversion.nn.batch_norm import BatchNorm, InverseMode
from multiscale_inversion.nn.convolution import Conv, Padding
from multiscale_inversion.nn.dropout import Dropout
from multiscale_inversion.options import Share, ShareBelowOne


# Not frozen, because a Flax module, which is not, cannot inherit from a frozen dataclass.
@dataclasses.dataclass(unsafe_hash=True, repr=False)
class BlockOptions:
  """The options of every block with batch norm, which are those of the networks made of them.

  A network inherits from this class to have the options as attributes of its own, and gives
  `block_options()` to its blocks.

  Attributes:
    activation: nonlinearity of the layers.
    negative_slope: slope of leaky_relu below zero.
    dropout_rate: share of the activations dropped in training, in [0, 1).
    batch_norm_inverse: statistics in the inverse of batch norm, see `BatchNorm`.
    batch_norm_momentum: share of the old running statistics that a step keeps, in [0, 1).
    batch_norm_epsilon: number added to variances.
    initializer: initializer of all kernels.
    axis_name: mapped axis over whose devices a batch is spread; None for one device.
    dtype: type of the activations between the input and the logits; the input's when None.
  """

  activation: functions.Activation = 'leaky_relu'
  negative_slope: Share = 0.01
  dropout_rate: ShareBelowOne = 0.2
  batch_norm_inverse: InverseMode = 'frozen'
  batch_norm_momentum: ShareBelowOne = 0.9
  batch_norm_epsilon: Share = 1e-5
  initializer: functions.Initializer = 'glorot_uniform'
  axis_name: str | None = None
  dtype: str | None = None

  def block_options(self) -> 'BlockOptions':
    """Return these options alone, without the network."""
    names = [field.name for field in dataclasses.fields(BlockOptions)]
    return BlockOptions(**{name: getattr(self, name) for name in names})


def norm_activation_dropout(
    z: jax.Array, options: BlockOptions, train: bool, inverse: bool
) -> jax.Array:
  """Apply batch norm, the nonlinearity and dropout, in the paper's order (Section 3.1).

  Call it in the compact method of a module: `norm` and `dropout` become the module's submodules.

  Args:
    z: output of the block's linear map, shape [N, ..., features].
    options: those of the network.
    train: use batch statistics and dropout.
    inverse: whether `invert` differentiates this call.

  Returns:
    An array of the shape of z.
  """
  z = BatchNorm(
      inverse_mode=options.batch_norm_inverse,
      momentum=options.batch_norm_momentum,
      epsilon=options.batch_norm_epsilon,
      axis_name=options.axis_name,
      name='norm',
  )(z, train=train, inverse=inverse)
  z = functions.activation(options.activation, options.negative_slope)(z)
  return Dropout(options.dropout_rate, name='dropout')(z, deterministic=not train)


class ConvBlock(nn.Module):
  """Convolution, batch norm, nonlinearity, dropout.

  Attributes:
    features: number of filters.
    kernel_size: edge of the filters.
    padding: `same`, `valid` or `full`; see `Conv`.
    options: those of the network.
  """

  features: int
  kernel_size: int
  padding: Padding
  options: BlockOptions

  @nn.compact
  def __call__(self, z: jax.Array, train: bool, inverse: bool) -> jax.Array:
    """Map [N, H, W, C] to [N, H', W', features]."""
    common = functions.kernel_options(self.options.initializer, self.options.dtype)
    kernel_size = (self.kernel_size, self.kernel_size)
    z = Conv(self.features, kernel_size, self.padding, name='conv', **common)(z)
    return norm_activation_dropout(z, self.options, train, inverse)


class Classifier(nn.Module):
  """The last layer: a dense map from flattened features to logits.

  Attributes:
    num_classes: number of logits C.
    initializer: a name in `functions.INITIALIZERS`, for the kernel.
    dtype: type of the product; that of z when None. Logits are at least float32.
  """

  num_classes: int
  initializer: functions.Initializer
  dtype: str | None = None

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Map z, of shape [N, ...], to logits, of shape [N, C]."""
    del train, inverse
    common = functions.kernel_options(self.initializer, self.dtype)
    logits = nn.Dense(self.num_classes, name='dense', **common)(functions.flatten(z))
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
