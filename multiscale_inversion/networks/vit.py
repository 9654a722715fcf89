"""A small vision transformer (Dosovitskiy et al., arXiv:2010.11929)."""


import flax.linen as nn
import jax
import jax.numpy as jnp

from multiscale_inversion.errors import UserError
from multiscale_inversion.networks.layered import LayeredNetwork
from multiscale_inversion.nn import layers
from multiscale_inversion.nn.dropout import Dropout
from multiscale_inversion.options import Positive, ShareBelowOne


class PatchEmbedding(nn.Module):
  """Patches mapped linearly to tokens, and a learned embedding of their places.

  Attributes:
    width: size of a token.
    patch_size: edge of the patches.
    initializer: name of the kernels' initializer.
    dtype: type of the activations; the input's when None.
  """

  width: int
  patch_size: int
  initializer: str
  dtype: str | None

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Maps [N, H, W, C] to [N, tokens, width]."""
    del train, inverse
    n, height, width, channels = z.shape
    size = self.patch_size
    if height % size or width % size:
      raise UserError(
          f'{size} for images of {height}x{width}; allowed: a divisor of both', 'patch_size'
      )
    z = z.reshape(n, height // size, size, width // size, size, channels)
    z = z.transpose(0, 1, 3, 2, 4, 5)
    z = layers.flatten(z.reshape(n, z.shape[1] * z.shape[2], *z.shape[3:]), 2)
    kernel_init = layers.initializer(self.initializer)
    z = nn.Dense(self.width, kernel_init=kernel_init, dtype=self.dtype, name='patches')(z)
    places = self.param('places', nn.initializers.normal(0.02), z.shape[1:])
    return z + places.astype(z.dtype)


class EncoderBlock(nn.Module):
  """Self-attention and a two-layer perceptron, each normalized before and added to its input.

  Attributes:
    num_heads: heads of the attention.
    dropout_rate: share dropped of what is added, in training.
    initializer: name of the kernels' initializer.
    last: whether the mean over the normalized tokens is taken at the end.
    dtype: type of the activations; the input's when None.
  """

  num_heads: int
  dropout_rate: float
  initializer: str
  last: bool
  dtype: str | None

  @nn.compact
  def __call__(self, z: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Maps [N, tokens, width] to the same, or to [N, width]."""
    del inverse
    width = z.shape[-1]
    common = {'kernel_init': layers.initializer(self.initializer), 'dtype': self.dtype}
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

  Attributes:
    num_classes: number of classes C.
    depth: number of encoder blocks, at least 1.
    width: size of a token, a multiple of num_heads.
    num_heads: heads of the attention.
    patch_size: edge of the patches, a divisor of the images' edges.
    dropout_rate: share of each branch dropped in training, in [0, 1).
    initializer: a name of `layers.INITIALIZERS`, for all kernels.
    dtype: type of the activations between the input and the logits; the input's when None.
  """

  num_axes = (4,)

  num_classes: int
  depth: Positive = 3
  width: Positive = 64
  num_heads: Positive = 4
  patch_size: Positive = 2
  dropout_rate: ShareBelowOne = 0.1
  initializer: layers.InitializerName = 'glorot_uniform'
  dtype: str | None = None

  def setup(self):
    """Makes the layers.

    Raises:
      UserError: if the tokens do not divide by the heads.
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
    classifier = layers.Classifier(self.num_classes, self.initializer, self.dtype)
    self.layers = [embedding, *blocks, classifier]
