"""Functions that layers are made of: nonlinearities, initializers, pooling, shapes."""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from multiscale_inversion.errors import UserError, check_choice

Activation = Literal['leaky_relu', 'elu', 'gelu', 'relu', 'sigmoid', 'softplus', 'tanh']
ACTIVATIONS: tuple[str, ...] = get_args(Activation)
_WITHOUT_OPTIONS: dict[Activation, Callable[[jax.Array], jax.Array]] = {
    'elu': nn.elu,
    'gelu': nn.gelu,
    'relu': nn.relu,
    'sigmoid': nn.sigmoid,
    'softplus': nn.softplus,
    'tanh': jnp.tanh,
}

Initializer = Literal['glorot_uniform', 'glorot_normal', 'he_normal', 'lecun_normal']
INITIALIZERS: tuple[str, ...] = get_args(Initializer)
_INITIALIZERS: dict[Initializer, Callable[..., Any]] = {
    'glorot_uniform': nn.initializers.glorot_uniform,
    'glorot_normal': nn.initializers.glorot_normal,
    'he_normal': nn.initializers.he_normal,
    'lecun_normal': nn.initializers.lecun_normal,
}

Pooling = Literal['mean', 'max']
POOLINGS: tuple[str, ...] = get_args(Pooling)


def activation(name: Activation, negative_slope: float) -> Callable[[jax.Array], jax.Array]:
  """Return a nonlinearity by its name; `negative_slope` is that of leaky_relu below zero."""
  check_choice('activation', name, ACTIVATIONS)
  if name == 'leaky_relu':
    return lambda x: nn.leaky_relu(x, negative_slope)
  return _WITHOUT_OPTIONS[name]


def initializer(name: Initializer) -> Callable[..., jax.Array]:
  """Return an initializer of kernels by its name."""
  check_choice('initializer', name, INITIALIZERS)
  return _INITIALIZERS[name]()


def kernel_options(initializer_name: Initializer, dtype: str | None) -> dict[str, Any]:
  """Return the options that Flax's and this package's linear layers have in common."""
  return {'kernel_init': initializer(initializer_name), 'dtype': dtype}


def pool(x: jax.Array, size: int | tuple[int, int], pooling: Pooling) -> jax.Array:
  """Pool disjoint windows; rows and columns that do not fill a window are dropped.

  Args:
    x: shape [N, H, W, C].
    size: edge of a window, or its height and width; 1 leaves x unchanged.
    pooling: `mean` or `max`. Where a window attains its maximum several times, the first place gets
      the gradient.

  Returns:
    Shape [N, H // height, W // width, C].

  Raises:
    UserError: if the pooling is unknown, or the images are smaller than one window.
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
  # where a compiler computes x twice with different rounding. A selection always finds one place.
  # NaN wins, so that a divergence is seen.
  places = [x[:, :, i, :, j, :] for i in range(down) for j in range(across)]
  return functools.reduce(lambda a, b: jnp.where((a >= b) | jnp.isnan(a), a, b), places)


def global_mean(x: jax.Array) -> jax.Array:
  """Return the mean over space: [N, H, W, C] to [N, C]."""
  return jnp.mean(x, (1, 2))


def flatten(x: jax.Array, num_axes: int = 1) -> jax.Array:
  """Join all axes but the first `num_axes`; unlike a reshape to -1, also for no observations."""
  return x.reshape(*x.shape[:num_axes], math.prod(x.shape[num_axes:]))


def as_sequence(x: jax.Array) -> jax.Array:
  """Return sequences [N, time, features] unchanged, and images by rows, as [N, H, W C]."""
  return x if x.ndim == 3 else flatten(x, 2)
