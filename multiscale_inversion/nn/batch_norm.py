"""Batch normalization with a choice of its inverse."""

from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from multiscale_inversion.inversion.stages import hold_in_inverse

InverseMode = Literal['frozen', 'batch', 'running']
INVERSE_MODES: tuple[str, ...] = get_args(InverseMode)


class BatchNorm(nn.Module):
  """Batch normalization (Ioffe and Szegedy, arXiv:1502.03167) over all axes but the last.

  Parameters and statistics have the names of `flax.linen.BatchNorm`'s. The inverse is new: there
  are three ways to read the Jacobian that `invert` takes of a layer trained on batch statistics.

  - `frozen`: the batch's mean and variance are constants of the inverse, so that each observation
    has a Jacobian of its own. An outer gradient still flows through them.
  - `batch`: the inverse goes through the batch's statistics, and so mixes its observations.
  - `running`: the inverse divides by the running standard deviation, the one used in evaluation,
    while the forward pass divides by the batch's.

  In evaluation the statistics are constants, and the three ways agree. Statistics are computed and
  applied in float32 where x is less precise.

  Attributes:
    inverse_mode: `frozen`, `batch` or `running`.
    momentum: share of the old running statistics that a training step keeps, in [0, 1).
    epsilon: added to variances.
    axis_name: mapped axis over whose devices a batch is spread; the statistics are those of all its
      devices. None for one device.
  """

  inverse_mode: InverseMode = 'frozen'
  momentum: float = 0.9
  epsilon: float = 1e-5
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False, inverse: bool = False) -> jax.Array:
    """Normalize x, of shape [N, ..., C].

    Args:
      x: the observations.
      train: normalize by the batch's statistics and update the running ones.
      inverse: whether `invert` differentiates this call.

    Returns:
      An array of the shape and the dtype of x.
    """
    dtype = x.dtype
    x = x.astype(jnp.promote_types(dtype, jnp.float32))
    features = x.shape[-1]
    each = lambda values: jnp.expand_dims(values, range(x.ndim - 1))  # [C] beside x
    scale = each(self.param('scale', nn.initializers.ones, (features,)))
    bias = each(self.param('bias', nn.initializers.zeros, (features,)))
    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, (features,))
    running_variance = self.variable('batch_stats', 'var', jnp.ones, (features,))
    running_deviation = each(jnp.sqrt(running_variance.value + self.epsilon))
    if not train:
      normalized = (x - each(running_mean.value)) / running_deviation
      return (normalized * scale + bias).astype(dtype)

    mean, variance = _moments(x, self.axis_name)
    if not self.is_initializing():
      keep = self.momentum
      running_mean.value = keep * running_mean.value + (1 - keep) * mean
      running_variance.value = keep * running_variance.value + (1 - keep) * variance
    mean, inverse_deviation = each(mean), each(1 / jnp.sqrt(variance + self.epsilon))
    if inverse and self.inverse_mode == 'frozen':
      mean, inverse_deviation = hold_in_inverse(mean), hold_in_inverse(inverse_deviation)
    if inverse and self.inverse_mode == 'running':
      # The second term is zero, and the only one through which the inverse sees x.
      normalized = hold_in_inverse((x - mean) * inverse_deviation)
      normalized = normalized + (x - hold_in_inverse(x)) / running_deviation
      return (normalized * scale + bias).astype(dtype)
    # With one factor for each feature, the derivatives keep one array of the size of x, not two.
    return ((x - mean) * (inverse_deviation * scale) + bias).astype(dtype)


def _moments(x: jax.Array, axis_name: str | None) -> tuple[jax.Array, jax.Array]:
  """Return the mean and the (biased) variance of each feature, over the batch on all devices."""
  axes = tuple(range(x.ndim - 1))
  mean = jnp.mean(x, axes, keepdims=True)
  # Two passes: E[x^2] - E[x]^2 cancels where the mean is much larger than the deviation.
  variance = jnp.mean(jnp.square(x - mean), axes)
  mean = mean.reshape(-1)
  if axis_name is None:
    return mean, variance
  # One message for each layer: the devices' moments, joined by the law of total variance.
  means, variances = jax.lax.all_gather(jnp.stack([mean, variance]), axis_name, axis=1)
  mean = jnp.mean(means, 0)
  return mean, jnp.mean(variances + jnp.square(means - mean[None]), 0)
