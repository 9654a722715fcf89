"""What layers of several networks share: nonlinearities, pooling, initializers, the classifier."""

import functools
import math
from collections.abc import Callable
from typing import Annotated, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from multiscale_inversion.errors import UserError, check_choice
from multiscale_inversion.options import OneOf

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
InitializerName = Annotated[str, OneOf(INITIALIZERS)]

Pooling = Literal['mean', 'max']
POOLINGS = get_args(Pooling)


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


def pool(x: jax.Array, size: int | tuple[int, int], pooling: str) -> jax.Array:
  """Pools disjoint windows; rows and columns that fill none are dropped.

  Args:
    x: shape [N, H, W, C].
    size: edge of a window, or its height and width; 1 leaves x as it is.
    pooling: `mean` or `max`. The gradient of a maximum that a window reaches several times goes
      to the first place.

  Returns:
    Shape [N, H // height, W // width, C].

  Raises:
    UserError: for an unknown pooling, or images smaller than one window.
  """
  check_choice('pooling', pooling, POOLINGS)
  down, across = (size, size) if isinstance(size, int) else size
  if down == across == 1:
    return x
  n, height, width, channels = x.shape
  rows, columns = height // down, width // across
  if rows < 1 or columns < 1:
    raise UserError(
        f'pooling: {height}x{width} values are smaller than a window of {size}; allowed: larger '
        'images, or fewer layers'
    )
  x = x[:, : rows * down, : columns * across, :]
  x = x.reshape(n, rows, down, columns, across, channels)
  if pooling == 'mean':
    return jnp.mean(x, (2, 4))
  # Not jnp.max: its derivative looks for the places that equal the maximum, and finds none (0 / 0)
  # where a compiler computes x twice with another rounding. A selection always takes one place;
  # NaN wins, so that a divergence is seen.
  places = [x[:, :, i, :, j, :] for i in range(down) for j in range(across)]
  return functools.reduce(lambda a, b: jnp.where((a >= b) | jnp.isnan(a), a, b), places)


def flatten(x: jax.Array, num_axes: int = 1) -> jax.Array:
  """Join all axes but the first ones; unlike a reshape to -1, of no observations, too."""
  return x.reshape(*x.shape[:num_axes], math.prod(x.shape[num_axes:]))


def as_sequence(x: jax.Array) -> jax.Array:
  """A sequence [N, time, features] as it is; images [N, H, W, C] by rows, as [N, H, W C]."""
  return x if x.ndim == 3 else flatten(x, 2)


def global_mean(x: jax.Array) -> jax.Array:
  """Mean over space: [N, H, W, C] to [N, C]."""
  return jnp.mean(x, (1, 2))


class Classifier(nn.Module):
  """The last layer: a dense map from features, flattened, to logits.

  Attributes:
    num_classes: number of logits C.
    kernel_init: name of the kernel's initializer.
    dtype: type of the product; z's own when None. Logits are float32 where it is less precise.
  """

  num_classes: int
  kernel_init: str
  dtype: str | None = None

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Maps z, of shape [N, ...], to logits, of shape [N, C]."""
    del train, inverse
    kernel_init = initializer(self.kernel_init)
    dense = nn.Dense(self.num_classes, kernel_init=kernel_init, dtype=self.dtype, name='dense')
    logits = dense(flatten(z))
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
