"""Two-dimensional convolution whose implementation suits the backend, and whose derivatives do."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

PADDINGS = ('same', 'valid', 'full')


class Conv(nn.Module):
  """Convolution with stride 1; parameters named and shaped like `flax.linen.Conv`'s.

  On CPU, XLA's weight gradient of a convolution runs at about a tenth of the speed of its
  forward pass. There the patches of the input are gathered (im2col) and multiplied in one matrix
  product, whose derivatives of any order are matrix products again. Elsewhere XLA's own
  convolution is used. The choice is made when the module is traced.

  Attributes:
    features: number of filters F.
    kernel_size: height and width of the filters, odd numbers.
    padding: `same` (output as large as the input), `valid` (no padding; output = input - kernel
      + 1) or `full` (output = input + kernel - 1).
    use_bias: whether a bias is added to each feature.
    kernel_init: initializer of the kernel, of shape [height, width, C, F].
    implementation: `lax` or `im2col`; by backend when None.
  """

  features: int
  kernel_size: tuple[int, int]
  padding: str = 'same'
  use_bias: bool = False
  kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
  implementation: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Convolves x, of shape [N, H, W, C]; returns [N, H', W', F]."""
    shape = (*self.kernel_size, x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    y = convolve(x, kernel, self.padding, self.implementation)
    if self.use_bias:
      y = y + self.param('bias', nn.initializers.zeros, (self.features,))
    return y


def convolve(
    x: jax.Array, kernel: jax.Array, padding: str, implementation: str | None = None
) -> jax.Array:
  """Cross-correlates images with a kernel, stride 1.

  Args:
    x: images, shape [N, H, W, C].
    kernel: filters, shape [height, width, C, F].
    padding: `same`, `valid` or `full`.
    implementation: `lax` or `im2col`; by backend when None.

  Returns:
    Shape [N, H', W', F]; H' and W' as the padding gives them.

  Raises:
    ValueError: for an unknown padding or implementation, or when the images are smaller than
      the kernel so that nothing would be left.
  """
  margins = _margins(kernel.shape[:2], padding)
  output = [x.shape[1 + axis] + sum(margins[axis]) - kernel.shape[axis] + 1 for axis in (0, 1)]
  if min(output) < 1:
    raise ValueError(
        f'convolution: images of {x.shape[1]}x{x.shape[2]} are too small for a '
        f'{kernel.shape[0]}x{kernel.shape[1]} kernel with padding {padding!r}'
    )
  if implementation is None:
    implementation = 'im2col' if jax.default_backend() == 'cpu' else 'lax'
  if implementation not in _IMPLEMENTATIONS:
    raise ValueError(
        f'convolution: unknown implementation {implementation!r}; '
        f'allowed: {", ".join(_IMPLEMENTATIONS)}'
    )
  return _IMPLEMENTATIONS[implementation](x, kernel, margins)


def _margins(kernel_size, padding: str) -> tuple[tuple[int, int], tuple[int, int]]:
  """Zeros before and after each spatial axis."""
  if padding == 'valid':
    return ((0, 0), (0, 0))
  if padding == 'same':
    return tuple(((k - 1) // 2, k // 2) for k in kernel_size)
  if padding == 'full':
    return tuple((k - 1, k - 1) for k in kernel_size)
  raise ValueError(f'convolution: unknown padding {padding!r}; allowed: {", ".join(PADDINGS)}')


def _lax(x, kernel, margins):
  return jax.lax.conv_general_dilated(
      x, kernel, window_strides=(1, 1), padding=margins, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def _im2col(x, kernel, margins):
  height, width, channels, features = kernel.shape
  x = jnp.pad(x, ((0, 0), *margins, (0, 0)))
  rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
  patches = [
      x[:, i : i + rows, j : j + columns, :] for i in range(height) for j in range(width)
  ]
  patches = jnp.concatenate(patches, axis=-1) if len(patches) > 1 else patches[0]
  return patches @ kernel.reshape(height * width * channels, features)


_IMPLEMENTATIONS = {'lax': _lax, 'im2col': _im2col}
