"""The error on a whole test set."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion import losses, metrics, parallel, seeds
from multiscale_inversion.data.normalization import normalize
from multiscale_inversion.networks.base import Network


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


def spread(test_data: TestData, devices: parallel.Devices) -> TestData:
  """Deals a test set's batches out to several devices, filled up by batches that count nothing."""
  if devices.axis_name is None:
    return test_data

  def deal(batches):
    batches = np.asarray(batches)
    missing = -len(batches) % devices.count
    padding = np.zeros((missing, *batches.shape[1:]), batches.dtype)
    return np.concatenate([batches, padding]).reshape(devices.count, -1, *batches.shape[1:])

  return devices.scatter(jax.tree.map(deal, test_data))


def make_evaluation(
    network: Network,
    devices: parallel.Devices | None = None,
    matmul_precision: str = 'highest',
    seeds_mode: str | None = None,
) -> Callable[..., dict[str, metrics.Mean]]:
  """Returns the compiled `(variables, test_data) -> metrics` of the network in evaluation.

  The metrics are `error`, the share of images whose greatest logit is not their label's, and
  `cross_entropy` in nats: each over all images, every one counted once.

  Args:
    network: the network.
    devices: one unless given. On several, variables and test data as `devices.replicate` and
      `spread` give them; each device holds the metrics of the whole test set.
    matmul_precision: see `Precision.matmul`.
    seeds_mode: for the networks of several runs at once, one of `seeds.MODES`: variables and
      metrics have a leading axis of seeds.
  """
  devices = devices or parallel.devices(1)

  def evaluate_batch(variables, batch):
    with jax.default_matmul_precision(matmul_precision):
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
    return parallel.all_sum(jax.tree.map(jnp.sum, measured), devices.axis_name)

  if seeds_mode is not None:
    evaluate = seeds.over_seeds(evaluate, (0, None), seeds_mode)
  return devices.compile(evaluate)
