"""A small vision transformer (Dosovitskiy et al., arXiv:2010.11929)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from multiscale_inversion.errors import UserError
from multiscale_inversion.networks.base import LayeredNetwork
from multiscale_inversion.nn import functions
from multiscale_inversion.nn.blocks import Classifier
from multiscale_inversion.nn.dropout import Dropout
from multiscale_inversion.options import Positive, ShareBelowOne


class PatchEmbedding(nn.Module):
  """A linear map of patches to tokens, and a learned embedding of their places.

  Attributes:
    width: size of a token.
    patch_size: edge of the patches.
    initializer: a name in `functions.INITIALIZERS`, for all kernels.
    dtype: type of the activations; the input's when None.
  """

  width: int
  patch_size: int
  initializer: functions.Initializer
  dtype: str | None

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Map [N, H, W, C] to [N, tokens, width].

    Raises:
      UserError: if the patches do not divide the images.
    """
    del train, inverse
    n, height, width, channels = z.shape
    size = self.patch_size
    if height % size or width % size:
      raise UserError(
          f'{size} for images of {height}x{width}; allowed: a divisor of both', 'patch_size'
      )
    z = z.reshape(n, height // size, size, width // size, size, channels)
    z = z.transpose(0, 1, 3, 2, 4, 5)
    z = functions.flatten(z.reshape(n, z.shape[1] * z.shape[2], *z.shape[3:]), 2)
    common = functions.kernel_options(self.initializer, self.dtype)
    z = nn.Dense(self.width, name='patches', **common)(z)
    places = self.param('places', nn.initializers.normal(0.02), z.shape[1:])
    return z + places[None].astype(z.dtype)


class EncoderBlock(nn.Module):
  """Self-attention and a two-layer perceptron, each of a normalized input and added to it.

  Attributes:
    num_heads: heads of the attention.
    dropout_rate: share of each branch dropped in training.
    initializer: a name in `functions.INITIALIZERS`, for all kernels.
    last: return the mean over the normalized tokens.
    dtype: type of the activations; the input's when None.
  """

  num_heads: int
  dropout_rate: float
  initializer: functions.Initializer
  last: bool
  dtype: str | None

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Map [N, tokens, width] to the same shape, or to [N, width] if it is the last one."""
    del inverse
    width = z.shape[-1]
    common = functions.kernel_options(self.initializer, self.dtype)
    drop = lambda y: Dropout(self.dropout_rate)(y, deterministic=not train)
    y = nn.LayerNorm(dtype=self.dtype, name='norm_attention')(z)
    z = z + drop(nn.MultiHeadDotProductAttention(self.num_heads, name='attention', **common)(y))
    y = nn.LayerNorm(dtype=self.dtype, name='norm_perceptron')(z)
    y = nn.gelu(nn.Dense(4 * width, name='expand', **common)(y))
    z = z + drop(nn.Dense(width, name='contract', **common)(y))
    if self.last:
      z = jnp.mean(nn.LayerNorm(dtype=self.dtype, name='norm')(z), 1)
    return z


class VisionTransformer(LayeredNetwork):
  """Patch embedding, encoder blocks, and a dense classifier on the mean token: L = depth + 2.

  Attributes (beside those of `Network`):
    depth: number of encoder blocks, at least 1.
    width: size of a token, a multiple of num_heads.
    num_heads: heads of the attention.
    patch_size: edge of the patches, a divisor of the images' edges.
    dropout_rate: share of each branch dropped in training, in [0, 1).
    initializer: a name in `functions.INITIALIZERS`, for all kernels.
    dtype: type of the activations between the input and the logits; the input's when None.
  """

  num_axes = (4,)

  depth: Positive = 3
  width: Positive = 64
  num_heads: Positive = 4
  patch_size: Positive = 2
  dropout_rate: ShareBelowOne = 0.1
  initializer: functions.Initializer = 'glorot_uniform'
  dtype: str | None = None

  def setup(self) -> None:
    """Make the layers.

    Raises:
      UserError: if the width is not a multiple of the number of heads.
    """
    if self.width % self.num_heads:
      raise UserError(
          f'{self.width}; allowed: a multiple of num_heads={self.num_heads}',
          'width',
          mentions=('num_heads',),
      )
    embedding = PatchEmbedding(self.width, self.patch_size, self.initializer, self.dtype)
    blocks = [
        EncoderBlock(
            self.num_heads,
            self.dropout_rate,
            self.initializer,
            index == self.depth - 1,
            self.dtype,
        )
        for index in range(self.depth)
    ]
    classifier = Classifier(self.num_classes, self.initializer, self.dtype)
    self.layers = [embedding, *blocks, classifier]
