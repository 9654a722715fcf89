"""Two-dimensional convolution, implemented to be fast on each backend, derivatives included."""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, cast, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from multiscale_inversion import platforms
from multiscale_inversion.errors import UserError
from multiscale_inversion.nn import winograd

# The sizes from which Winograd's algorithm is faster than im2col, for a forward and two backward
# passes. Its time relative to im2col's in a trial on 2 EPYC cores (batch of 50): 0.59 at 16x16x32,
# 0.68 at 8x8x64, 0.90 at 4x4x256, but 1.13 at 8x8x32 and 1.23 at 4x4x128.
_MIN_CHANNELS = 16
_MIN_VALUES = 4096
_MIN_ROWS = 1024  # of a matrix product

_CHOSEN: contextvars.ContextVar[str | None] = contextvars.ContextVar('chosen', default=None)

Padding = Literal['same', 'valid', 'full']
PADDINGS: tuple[str, ...] = get_args(Padding)
Margins = tuple[tuple[int, int], tuple[int, int]]


class Conv(nn.Module):
  """Convolution with stride 1; parameters have the names and shapes of `flax.linen.Conv`'s.

  On CPU, XLA's weight gradient of a convolution is slower than its forward pass: 2.8 to 4.2 times
  for four of the five sizes in results/benchmark_winograd.json. There, 3x3 filters of many channels
  are applied by Winograd's algorithm (`winograd.py`), and for other filters the patches of the
  input are gathered and multiplied in matrix products (im2col). In both, derivatives of any order
  are matrix products again. On other platforms XLA's own convolution is used. The choice is made
  when the module is traced, for the platform of `platforms.traced_for`.

  Attributes:
    features: number of filters F.
    kernel_size: height and width of the filters, odd numbers.
    padding: `same` (output as large as the input), `valid` (no padding; output = input - kernel
      + 1) or `full` (output = input + kernel - 1).
    use_bias: add a bias to each feature.
    kernel_init: initializer of the kernel, of shape [height, width, C, F].
    dtype: type of the product, to which x and the parameters are cast; x's own when None.
    implementation: `lax`, `im2col` or `winograd`; chosen by platform and shapes when None.
  """

  features: int
  kernel_size: tuple[int, int]
  padding: Padding = 'same'
  use_bias: bool = False
  kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
  dtype: str | None = None
  implementation: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Convolve x, of shape [N, H, W, C], to [N, H', W', F]."""
    shape = (*self.kernel_size, x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    if self.dtype is not None:
      x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
    y = convolve(x, kernel, self.padding, self.implementation)
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros, (self.features,))
      y = y + jnp.expand_dims(bias, range(y.ndim - 1)).astype(y.dtype)
    return y


def convolve(
    x: jax.Array, kernel: jax.Array, padding: Padding, implementation: str | None = None
) -> jax.Array:
  """Cross-correlate images with a kernel, with stride 1.

  Args:
    x: images, shape [N, H, W, C].
    kernel: filters, shape [height, width, C, F].
    padding: `same`, `valid` or `full`.
    implementation: `lax`, `im2col` or `winograd`; chosen by platform and shapes when None.

  Returns:
    Shape [N, H', W', F], where H' and W' depend on the padding (see `Conv`).

  Raises:
    UserError: if the padding or the implementation is unknown, if the implementation does not take
      this kernel, or if the images are so small that nothing would be left.
  """
  margins = _margins(kernel.shape[:2], padding)
  output = [x.shape[1 + axis] + sum(margins[axis]) - kernel.shape[axis] + 1 for axis in (0, 1)]
  if min(output) < 1:
    raise UserError(
        f'convolution: images of {x.shape[1]}x{x.shape[2]} are too small for a '
        f'{kernel.shape[0]}x{kernel.shape[1]} kernel with padding {padding!r}'
    )
  if implementation is None:
    implementation = default_implementation(x, kernel)
  if implementation not in _IMPLEMENTATIONS:
    raise UserError(
        f'convolution: unknown implementation {implementation!r}; '
        f'allowed: {", ".join(_IMPLEMENTATIONS)}'
    )
  return _IMPLEMENTATIONS[implementation](x, kernel, margins)


@contextlib.contextmanager
def implemented_by(implementation: str) -> Iterator[None]:
  """Trace convolutions that choose for themselves by this implementation, in place of a choice."""
  token = _CHOSEN.set(implementation)
  try:
    yield
  finally:
    _CHOSEN.reset(token)


def default_implementation(x: jax.Array, kernel: jax.Array) -> str:
  """Return the implementation that was fastest in trials of whole steps, by shapes and platform."""
  chosen = _CHOSEN.get()
  if chosen is not None:
    return chosen
  if platforms.current() != platforms.CPU:
    return 'lax'
  # With few channels or few pixels the transforms cost more than the products that they save.
  channels = min(kernel.shape[2:])
  values = math.prod(x.shape[1:3]) * channels if x.shape[0] else 0
  large = channels >= _MIN_CHANNELS and values >= _MIN_VALUES
  if kernel.shape[:2] == winograd.KERNEL_SIZE and large and x.dtype in (jnp.float32, jnp.float64):
    return 'winograd'
  return 'im2col'


def _margins(kernel_size: tuple[int, ...], padding: Padding) -> Margins:
  """Return the numbers of zeros before and after each spatial axis."""
  if padding == 'valid':
    return ((0, 0), (0, 0))
  if padding == 'same':
    return cast(Margins, tuple(((k - 1) // 2, k // 2) for k in kernel_size))
  if padding == 'full':
    return cast(Margins, tuple((k - 1, k - 1) for k in kernel_size))
  raise UserError(f'convolution: unknown padding {padding!r}; allowed: {", ".join(PADDINGS)}')


def _lax(x: jax.Array, kernel: jax.Array, margins: Margins) -> jax.Array:
  return jax.lax.conv_general_dilated(
      x, kernel, window_strides=(1, 1), padding=margins, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def _im2col(x: jax.Array, kernel: jax.Array, margins: Margins) -> jax.Array:
  height, width, channels, features = kernel.shape
  x = jnp.pad(x, ((0, 0), *margins, (0, 0)))
  rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
  shifted = [x[:, i : i + rows, j : j + columns, :] for i in range(height) for j in range(width)]
  patches = jnp.concatenate(shifted, axis=-1) if len(shifted) > 1 else shifted[0]
  return _product(patches, kernel.reshape(height * width * channels, features))


def _product(pixels: jax.Array, matrix: jax.Array) -> jax.Array:
  """Multiply [N, H, W, C] by [C, F], a few images at a time.

  The gradient with respect to the matrix is then computed a few images at a time, too. XLA
  transposes the pixels for it: those of all images at once would each go to another line of memory,
  and whatever is fused with the transposition would be computed again.
  """
  count, height, width, _ = pixels.shape
  groups = _num_groups(count, height * width)
  if groups == 1:
    return pixels @ matrix
  rows = pixels.reshape(groups, -1, pixels.shape[-1])
  products = rows @ jnp.broadcast_to(matrix, (groups, *matrix.shape))
  return products.reshape(count, height, width, -1)


def _num_groups(count: int, pixels: int) -> int:
  """Return the largest number of equal groups of images with `_MIN_ROWS` pixels or more each."""
  fitting = [n for n in range(1, count + 1) if count % n == 0 and count // n * pixels >= _MIN_ROWS]
  return max(fitting, default=1)


def _winograd(x: jax.Array, kernel: jax.Array, margins: Margins) -> jax.Array:
  if kernel.shape[:2] != winograd.KERNEL_SIZE:
    raise UserError(
        f'convolution: winograd takes 3x3 kernels, not {kernel.shape[0]}x{kernel.shape[1]}'
    )
  return winograd.correlate(x, kernel, margins)


_IMPLEMENTATIONS = {'lax': _lax, 'im2col': _im2col, 'winograd': _winograd}
