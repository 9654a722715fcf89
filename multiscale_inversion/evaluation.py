"""The error on a whole test set."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion import losses, metrics
from multiscale_inversion.data.normalization import normalize
from multiscale_inversion.networks.layered import LayeredNetwork


class TestData(NamedTuple):
  """A test set on the device, in batches of which the last is filled up.

  Attributes:
    images: uint8, shape [B, N, H, W, C].
    labels: int32, shape [B, N].
    mask: float32, shape [B, N]; 0 where a place only fills up the last batch.
  """

  __test__ = False  # not a test class, whatever its name

  images: jax.Array
  labels: jax.Array
  mask: jax.Array


def batch_up(images: np.ndarray, labels: np.ndarray, batch_size: int) -> TestData:
  """Cuts a test set into batches of `batch_size`, the last one filled up with zeros and masked."""
  missing = -len(images) % batch_size

  def cut(values):
    padding = np.zeros((missing, *values.shape[1:]), values.dtype)
    return jnp.asarray(np.concatenate([values, padding]).reshape(-1, batch_size, *values.shape[1:]))

  return TestData(cut(images), cut(labels), cut(np.ones(len(images), np.float32)))


def make_evaluation(network: LayeredNetwork) -> Callable[..., dict[str, metrics.Mean]]:
  """Returns the compiled `(variables, test_data) -> metrics` of the network in evaluation.

  The metrics are `error`, the share of images whose greatest logit is not their label's, and
  `cross_entropy` in nats: each over all images, every one counted once.
  """

  def evaluate_batch(variables, batch):
    logits = network.apply(variables, normalize(batch.images))[-1]
    wrong = (jnp.argmax(logits, -1) != batch.labels).astype(jnp.float32)
    return {
        'error': metrics.masked_mean(wrong, batch.mask),
        'cross_entropy': metrics.masked_mean(
            losses.cross_entropy(logits, batch.labels), batch.mask
        ),
    }

  def evaluate(variables, test_data):
    measured = jax.lax.map(lambda batch: evaluate_batch(variables, batch), test_data)
    return jax.tree.map(jnp.sum, measured)

  return jax.jit(evaluate)
