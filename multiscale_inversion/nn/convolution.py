"""Two-dimensional convolution whose implementation suits the backend, and whose derivatives do."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from multiscale_inversion.nn import winograd

# Where Winograd's way is faster than im2col, forward and back twice, in a trial on 2 EPYC cores
# (batch of 50): at 16x16x32 in 0.59 of the time, 8x8x64 0.68, 4x4x256 0.90, but 8x8x32 1.13,
# 4x4x128 1.23.
_MIN_CHANNELS = 16
_MIN_VALUES = 4096
_MIN_ROWS = 1024  # of a matrix product

PADDINGS = ('same', 'valid', 'full')


class Conv(nn.Module):
  """Convolution with stride 1; parameters named and shaped like `flax.linen.Conv`'s.

  On CPU, XLA's weight gradient of a convolution is slower than its forward pass: 2.8 to 4.2 times
  for four of the five sizes in results/benchmark_winograd.json. There 3x3 filters of many channels
  are applied in Winograd's way (`winograd.py`). For others the patches of the input are gathered
  and multiplied in matrix products (im2col).
  Derivatives of any order are matrix products again, in both. Elsewhere XLA's own convolution is
  used. The choice is made when the module is traced.

  Attributes:
    features: number of filters F.
    kernel_size: height and width of the filters, odd numbers.
    padding: `same` (output as large as the input), `valid` (no padding; output = input - kernel
      + 1) or `full` (output = input + kernel - 1).
    use_bias: whether a bias is added to each feature.
    kernel_init: initializer of the kernel, of shape [height, width, C, F].
    dtype: type of the product, to which x and the parameters are cast; x's own when None.
    implementation: `lax`, `im2col` or `winograd`; by backend when None.
  """

  features: int
  kernel_size: tuple[int, int]
  padding: str = 'same'
  use_bias: bool = False
  kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
  dtype: str | None = None
  implementation: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Convolves x, of shape [N, H, W, C]; returns [N, H', W', F]."""
    shape = (*self.kernel_size, x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    if self.dtype is not None:
      x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
    y = convolve(x, kernel, self.padding, self.implementation)
    if self.use_bias:
      y = y + self.param('bias', nn.initializers.zeros, (self.features,)).astype(y.dtype)
    return y


def convolve(
    x: jax.Array, kernel: jax.Array, padding: str, implementation: str | None = None
) -> jax.Array:
  """Cross-correlates images with a kernel, stride 1.

  Args:
    x: images, shape [N, H, W, C].
    kernel: filters, shape [height, width, C, F].
    padding: `same`, `valid` or `full`.
    implementation: `lax`, `im2col` or `winograd`; by backend when None.

  Returns:
    Shape [N, H', W', F]; H' and W' as the padding gives them.

  Raises:
    ValueError: for an unknown padding or implementation, one that does not take this kernel, or
      when the images are smaller than the kernel so that nothing would be left.
  """
  margins = _margins(kernel.shape[:2], padding)
  output = [x.shape[1 + axis] + sum(margins[axis]) - kernel.shape[axis] + 1 for axis in (0, 1)]
  if min(output) < 1:
    raise ValueError(
        f'convolution: images of {x.shape[1]}x{x.shape[2]} are too small for a '
        f'{kernel.shape[0]}x{kernel.shape[1]} kernel with padding {padding!r}'
    )
  if implementation is None:
    implementation = default_implementation(x, kernel)
  if implementation not in _IMPLEMENTATIONS:
    raise ValueError(
        f'convolution: unknown implementation {implementation!r}; '
        f'allowed: {", ".join(_IMPLEMENTATIONS)}'
    )
  return _IMPLEMENTATIONS[implementation](x, kernel, margins)


def default_implementation(x: jax.Array, kernel: jax.Array) -> str:
  """The implementation that was the fastest in trials of whole steps, by shapes and backend."""
  if jax.default_backend() != 'cpu':
    return 'lax'
  # With few channels, or few pixels, the transforms cost more than the products that they save.
  channels = min(kernel.shape[2:])
  values = math.prod(x.shape[1:3]) * channels if x.shape[0] else 0
  large = channels >= _MIN_CHANNELS and values >= _MIN_VALUES
  if kernel.shape[:2] == winograd.KERNEL_SIZE and large and x.dtype in (jnp.float32, jnp.float64):
    return 'winograd'
  return 'im2col'


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
  return _product(patches, kernel.reshape(height * width * channels, features))


def _product(pixels, matrix):
  """[N, H, W, C] @ [C, F], as one product for every few images.

  So is its gradient by the matrix, over whose sum over pixels XLA transposes the pixels: at once,
  it would write each of them to another line of memory, computing anew all that it fuses with that.
  """
  count, height, width, _ = pixels.shape
  groups = _num_groups(count, height * width)
  if groups == 1:
    return pixels @ matrix
  rows = pixels.reshape(groups, -1, pixels.shape[-1])
  products = rows @ jnp.broadcast_to(matrix, (groups, *matrix.shape))
  return products.reshape(count, height, width, -1)


def _num_groups(count: int, pixels: int) -> int:
  """The largest number of equal groups of images that have `_MIN_ROWS` pixels each."""
  fitting = [n for n in range(1, count + 1) if count % n == 0 and count // n * pixels >= _MIN_ROWS]
  return max(fitting, default=1)


def _winograd(x, kernel, margins):
  if kernel.shape[:2] != winograd.KERNEL_SIZE:
    raise ValueError(
        f'convolution: winograd takes 3x3 kernels, not {kernel.shape[0]}x{kernel.shape[1]}'
    )
  return winograd.correlate(x, kernel, margins)


_IMPLEMENTATIONS = {'lax': _lax, 'im2col': _im2col, 'winograd': _winograd}
