"""What layers of several networks share: nonlinearities, pooling, initializers, the classifier."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from multiscale_inversion.errors import check_choice

_ACTIVATIONS = {
    'elu': nn.elu,
    'gelu': nn.gelu,
    'relu': nn.relu,
    'sigmoid': nn.sigmoid,
    'softplus': nn.softplus,
    'tanh': jnp.tanh,
}
ACTIVATIONS = ('leaky_relu', *_ACTIVATIONS)

_INITIALIZERS = {
    'glorot_uniform': nn.initializers.glorot_uniform,
    'glorot_normal': nn.initializers.glorot_normal,
    'he_normal': nn.initializers.he_normal,
    'lecun_normal': nn.initializers.lecun_normal,
}
INITIALIZERS = tuple(_INITIALIZERS)

POOLINGS = ('mean', 'max')


def activation(name: str, negative_slope: float) -> Callable[[jax.Array], jax.Array]:
  """The nonlinearity called `name`; `negative_slope` is leaky_relu's, for x < 0."""
  check_choice('activation', name, ACTIVATIONS)
  if name == 'leaky_relu':
    return lambda x: nn.leaky_relu(x, negative_slope)
  return _ACTIVATIONS[name]


def initializer(name: str) -> Callable:
  """The initializer of kernels called `name`."""
  check_choice('initializer', name, INITIALIZERS)
  return _INITIALIZERS[name]()


def pool(x: jax.Array, size: int, pooling: str) -> jax.Array:
  """Pools disjoint windows of `size` x `size`; rows and columns that fill none are dropped.

  Args:
    x: shape [N, H, W, C].
    size: edge of a window; 1 leaves x as it is.
    pooling: `mean` or `max`. The gradient of a maximum that a window reaches several times goes
      to the first place.

  Returns:
    Shape [N, H // size, W // size, C].

  Raises:
    ValueError: for an unknown pooling, or images smaller than one window.
  """
  check_choice('pooling', pooling, POOLINGS)
  if size == 1:
    return x
  n, height, width, channels = x.shape
  rows, columns = height // size, width // size
  if rows < 1 or columns < 1:
    raise ValueError(f'pooling: images of {height}x{width} are smaller than a window of {size}')
  x = x[:, : rows * size, : columns * size, :].reshape(n, rows, size, columns, size, channels)
  if pooling == 'mean':
    return jnp.mean(x, (2, 4))
  # Not jnp.max: its derivative looks for the places that equal the maximum, and finds none (0 / 0)
  # where a compiler computes x twice with another rounding. A selection always takes one place;
  # NaN wins, so that a divergence is seen.
  places = [x[:, :, i, :, j, :] for i in range(size) for j in range(size)]
  return functools.reduce(lambda a, b: jnp.where((a >= b) | jnp.isnan(a), a, b), places)


def global_mean(x: jax.Array) -> jax.Array:
  """Mean over space: [N, H, W, C] to [N, C]."""
  return jnp.mean(x, (1, 2))


class Classifier(nn.Module):
  """The last layer: a dense map from features, flattened, to logits.

  Attributes:
    num_classes: number of logits C.
    kernel_init: name of the kernel's initializer.
  """

  num_classes: int
  kernel_init: str

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Maps z, of shape [N, ...], to logits, of shape [N, C]."""
    del train, inverse
    dense = nn.Dense(self.num_classes, kernel_init=initializer(self.kernel_init), name='dense')
    return dense(z.reshape(z.shape[0], -1))
