"""Convolution with 3x3 filters by Winograd's minimal filtering, for CPUs.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308: F(2x2, 3x3).
Tiles of 4x4 pixels and the filters are transformed, multiplied as 16 matrix products, and
transformed back to 2x2 outputs: 2.25 times fewer multiplications than by the definition, with
rounding errors of the same order. Gradients are computed in the same way. Images are processed a
few at a time, so that transformed tiles stay in the cache; none of them is kept for the gradients.

The two operations, correlation and the gradient of its filters, are bilinear JAX primitives. The
derivative of each is made of the two again, so that derivatives of any order exist, in forward and
in reverse mode. (A `custom_vjp` would refuse forward mode, and JAX's own derivative of the loop
over images would keep every transformed tile.)
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad, batching, mlir

from multiscale_inversion.inversion.recomputation import after

Margins = tuple[tuple[int, int], tuple[int, int]]

KERNEL_SIZE = (3, 3)

# One-dimensional transforms of F(2, 3): for 4 pixels, for 3 weights, from 4 products to 2 outputs.
_PIXELS = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
_WEIGHTS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_OUTPUTS = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
_TILE = 4
# Bytes of transformed pixels at a time. In a trial on a core with 1 MB of second-level cache, times
# were equal from 3 to 9 MB, and longer below and above.
_CHUNK_BYTES = 6e6


def correlate(x: jax.Array, kernel: jax.Array, margins: Margins) -> jax.Array:
  """Cross-correlate images with 3x3 filters, with stride 1.

  Args:
    x: images, shape [N, H, W, C], float32 or float64.
    kernel: filters, shape [3, 3, C, F], of the same type.
    margins: numbers of zeros, from 0 to 2, before and after the rows and the columns.

  Returns:
    Shape [N, H', W', F].
  """
  return _correlate_p.bind(x, kernel, margins=margins)


def _correlate(x: jax.Array, kernel: jax.Array, *, margins: Margins) -> jax.Array:
  n, height, width = _output_shape(x, margins)
  rows, columns = -(-height // 2), -(-width // 2)
  weights = _transform_weights(kernel)
  chunks = _in_chunks(_pad_to_tiles(x, margins, rows, columns), rows * columns)

  def of_chunk(images):
    products = [p @ w for p, w in zip(_transform_pixels(images), weights, strict=True)]
    products = [product.reshape(-1, rows, columns, kernel.shape[-1]) for product in products]
    by_row = [_apply(_OUTPUTS, products[column::_TILE]) for column in range(_TILE)]
    by_column = [_apply(_OUTPUTS, parts) for parts in zip(*by_row, strict=True)]
    outputs = jnp.stack([jnp.stack(row, 3) for row in by_column], 2)
    return outputs.reshape(-1, 2 * rows, 2 * columns, kernel.shape[-1])

  y = _map_chunks(of_chunk, chunks, x.ravel()[0])
  return y.reshape(-1, *y.shape[2:])[:n, :height, :width]


def _map_chunks(
    function: Callable[[jax.Array], jax.Array], chunks: jax.Array, filling: jax.Array
) -> jax.Array:
  """Map a function over chunks like `jax.lax.map`, with `filling` as the initial results.

  `jax.lax.map` starts from zeros, which depend on nothing: XLA makes those of all layers at the
  start of a program, and keeps them until each layer's turn. One of the layer's own values cannot
  be written earlier.
  """
  shape = jax.eval_shape(function, jax.ShapeDtypeStruct(chunks.shape[1:], chunks.dtype)).shape
  results = jnp.broadcast_to(filling, (chunks.shape[0], *shape))

  def fill(index, results):
    chunk = jax.lax.dynamic_index_in_dim(chunks, index, keepdims=False)
    return jax.lax.dynamic_update_index_in_dim(results, function(chunk), index, 0)

  return jax.lax.fori_loop(0, chunks.shape[0], fill, results)


def _kernel_gradient(x: jax.Array, g: jax.Array, *, margins: Margins) -> jax.Array:
  """Return the gradient of the filters: pixels times the output's cotangent, over all positions."""
  n, height, width = g.shape[:3]
  rows, columns = -(-height // 2), -(-width // 2)
  shape = (x.shape[-1], g.shape[-1])
  pixels = _in_chunks(_pad_to_tiles(x, margins, rows, columns), rows * columns)
  g = jnp.pad(g, ((0, math.prod(pixels.shape[:2]) - n), *_up_to_even(height, width), (0, 0)))
  g = g.reshape(*pixels.shape[:2], *g.shape[1:])

  def add_chunk(sums, chunk):
    images, cotangents = chunk
    by_row = _apply(_OUTPUTS.T, [cotangents[:, 0::2], cotangents[:, 1::2]])
    tiles = [
        tile.reshape(-1, shape[1])
        for row in by_row
        for tile in _apply(_OUTPUTS.T, [row[:, :, 0::2], row[:, :, 1::2]])
    ]
    return [
        total + p.T @ t
        for total, p, t in zip(sums, _transform_pixels(images), tiles, strict=True)
    ], None

  zeros = [jnp.zeros(shape, x.dtype)] * _TILE**2
  sums, _ = jax.lax.scan(add_chunk, zeros, (pixels, g))
  tiles = jnp.stack(sums).reshape(_TILE, _TILE, *shape)
  transform = _WEIGHTS.astype(x.dtype)
  return jnp.einsum('ai,bj,abcf->ijcf', transform, transform, tiles)


def _output_shape(x: jax.Array, margins: Margins) -> tuple[int, int, int]:
  """Return (N, H', W')."""
  height, width = (
      size + sum(margin) - 2 for size, margin in zip(x.shape[1:3], margins, strict=True)
  )
  return x.shape[0], height, width


def _up_to_even(height: int, width: int) -> Margins:
  return (0, height % 2), (0, width % 2)


def _pad_to_tiles(x: jax.Array, margins: Margins, rows: int, columns: int) -> jax.Array:
  """Add the margins, and what the last row and column of tiles lack."""
  padding = [
      (before, 2 * tiles + 2 - size - before)
      for (before, _), tiles, size in zip(margins, (rows, columns), x.shape[1:3], strict=True)
  ]
  return jnp.pad(x, ((0, 0), *padding, (0, 0)))


def _in_chunks(x: jax.Array, tiles_per_image: int) -> jax.Array:
  """Split the images into equal groups, [G, n, H, W, C], the last one filled up with zeros."""
  bytes_per_image = _TILE**2 * tiles_per_image * x.shape[-1] * x.dtype.itemsize
  groups = -(-x.shape[0] // max(1, int(_CHUNK_BYTES / bytes_per_image)))
  size = -(-x.shape[0] // groups)
  groups = -(-x.shape[0] // size)
  x = jnp.pad(x, ((0, groups * size - x.shape[0]), *[(0, 0)] * 3))
  return x.reshape(groups, size, *x.shape[1:])


def _transform_pixels(x: jax.Array) -> list[jax.Array]:
  """Return the 16 transformed pixels of all 4x4 tiles, which overlap by 2; each [tiles, C]."""
  rows, columns = x.shape[1] // 2 - 1, x.shape[2] // 2 - 1
  by_row = _apply(_PIXELS, [x[:, i : i + 2 * rows - 1 : 2] for i in range(_TILE)])
  return [
      pixels.reshape(-1, x.shape[-1])
      for row in by_row
      for pixels in _apply(_PIXELS, [row[:, :, j : j + 2 * columns - 1 : 2] for j in range(_TILE)])
  ]


def _transform_weights(kernel: jax.Array) -> list[jax.Array]:
  """Return the 16 transformed weights, each [C, F]."""
  transform = _WEIGHTS.astype(kernel.dtype)
  weights = jnp.einsum('ai,bj,ijcf->abcf', transform, transform, kernel)
  return [weights[a, b] for a in range(_TILE) for b in range(_TILE)]


def _apply(matrix: np.ndarray, parts: Sequence[jax.Array]) -> list[jax.Array]:
  """Multiply a vector of arrays by a matrix of the coefficients 0, 1 and -1."""
  products = []
  for row in matrix:
    plus = [part for coefficient, part in zip(row, parts, strict=True) if coefficient == 1]
    minus = [part for coefficient, part in zip(row, parts, strict=True) if coefficient == -1]
    total = functools.reduce(jnp.add, plus) if plus else -minus.pop()
    products.append(functools.reduce(jnp.subtract, minus, total))
  return products


# The primitives, and their derivatives.


def _flipped(kernel: jax.Array) -> jax.Array:
  """Return the filters of the transposed correlation."""
  return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def _transposed(margins: Margins) -> Margins:
  (top, bottom), (left, right) = margins
  return (2 - top, 2 - bottom), (2 - left, 2 - right)


def _image_gradient(g: jax.Array, kernel: jax.Array, margins: Margins) -> jax.Array:
  return _correlate_p.bind(g, _flipped(kernel), margins=_transposed(margins))


def _correlate_shape(
    x: jax.Array, kernel: jax.Array, *, margins: Margins
) -> jax.core.ShapedArray:
  return jax.core.ShapedArray((*_output_shape(x, margins), kernel.shape[-1]), x.dtype)


def _kernel_gradient_shape(
    x: jax.Array, g: jax.Array, *, margins: Margins
) -> jax.core.ShapedArray:
  del margins
  return jax.core.ShapedArray((*KERNEL_SIZE, x.shape[-1], g.shape[-1]), x.dtype)


def _primitive(
    name: str,
    function: Callable[..., jax.Array],
    shape: Callable[..., jax.core.ShapedArray],
    transpose_first: Callable[..., jax.Array],
    transpose_second: Callable[..., jax.Array],
) -> jax.extend.core.Primitive:
  """Make a bilinear primitive from its function, its output's shape and its two transposes."""
  primitive = jax.extend.core.Primitive(name)
  primitive.def_impl(jax.jit(function, static_argnames=('margins',)))
  primitive.def_abstract_eval(shape)
  mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
  ad.defbilinear(primitive, transpose_first, transpose_second)

  def batch(arguments, axes, *, margins):
    # One after the other, because each consists of large products already.
    size = next(a.shape[x] for a, x in zip(arguments, axes, strict=True) if x is not None)
    moved = [
        jnp.broadcast_to(a, (size, *a.shape)) if axis is None else jnp.moveaxis(a, axis, 0)
        for a, axis in zip(arguments, axes, strict=True)
    ]
    return jax.lax.map(lambda both: primitive.bind(*both, margins=margins), tuple(moved)), 0

  batching.primitive_batchers[primitive] = batch
  return primitive


# In the transposes, what was kept comes `after` the cotangent. Otherwise XLA reuses the padded and
# grouped copy of the forward pass, and keeps that copy too.
_correlate_p: jax.extend.core.Primitive = _primitive(
    'winograd_correlate',
    _correlate,
    _correlate_shape,
    lambda ct, x, kernel, *, margins: _image_gradient(ct, kernel, margins),
    lambda ct, x, kernel, *, margins: _kernel_gradient_p.bind(after(x, ct), ct, margins=margins),
)
_kernel_gradient_p: jax.extend.core.Primitive = _primitive(
    'winograd_kernel_gradient',
    _kernel_gradient,
    _kernel_gradient_shape,
    lambda ct, x, g, *, margins: _image_gradient(after(g, ct), ct, margins),
    lambda ct, x, g, *, margins: _correlate_p.bind(after(x, ct), ct, margins=margins),
)
