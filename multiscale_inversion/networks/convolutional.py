"""What the convolutional networks share: their options, and convolution to dropout in one block."""

import dataclasses

import flax.linen as nn
import jax

from multiscale_inversion.networks import layers
from multiscale_inversion.networks.convolution import Conv
from multiscale_inversion.networks.layered import LayeredNetwork
from multiscale_inversion.networks.normalization import BatchNorm


@dataclasses.dataclass(frozen=True)
class LayerOptions:
  """What every layer of one network has in common, named as in `ConvolutionalNetwork`."""

  activation: str
  negative_slope: float
  pooling: str
  dropout_rate: float
  batch_norm_inverse: str
  batch_norm_momentum: float
  batch_norm_epsilon: float
  initializer: str
  axis_name: str | None


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
        name='conv',
    )(z)
    z = BatchNorm(
        inverse_mode=options.batch_norm_inverse,
        momentum=options.batch_norm_momentum,
        epsilon=options.batch_norm_epsilon,
        axis_name=options.axis_name,
        name='norm',
    )(z, train=train, inverse=inverse)
    z = layers.activation(options.activation, options.negative_slope)(z)
    return nn.Dropout(options.dropout_rate, name='dropout')(z, deterministic=not train)


class ConvolutionalNetwork(LayeredNetwork):
  """Base of the convolutional networks.

  Attributes:
    num_classes: number of classes C.
    activation: a name of `layers.ACTIVATIONS`.
    negative_slope: leaky_relu's slope below zero.
    pooling: `mean` (the paper's, but for MNIST) or `max`.
    dropout_rate: share of the activations dropped in training, in [0, 1).
    batch_norm_inverse: `frozen`, `batch` or `running`; see `BatchNorm`.
    batch_norm_momentum: share of the old running statistics that a step keeps, in [0, 1).
    batch_norm_epsilon: added to variances.
    initializer: a name of `layers.INITIALIZERS`, for all kernels.
    axis_name: mapped axis over whose devices the batch is spread, or None.
  """

  num_classes: int
  activation: str = 'leaky_relu'
  negative_slope: float = 0.01
  pooling: str = 'mean'
  dropout_rate: float = 0.2
  batch_norm_inverse: str = 'frozen'
  batch_norm_momentum: float = 0.9
  batch_norm_epsilon: float = 1e-5
  initializer: str = 'glorot_uniform'
  axis_name: str | None = None

  def layer_options(self) -> LayerOptions:
    """The options that each layer takes."""
    names = [field.name for field in dataclasses.fields(LayerOptions)]
    return LayerOptions(**{name: getattr(self, name) for name in names})
