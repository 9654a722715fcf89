"""The error on a whole test set."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion import losses, metrics, parallel
from multiscale_inversion.arrays import HostOrDevice
from multiscale_inversion.data.normalization import normalize
from multiscale_inversion.execution import Execution
from multiscale_inversion.networks.base import Network


class EvaluationData(NamedTuple):
  """A test set on the devices, in batches of which the last ones are padded.

  On several devices, each has its share of the batches, along a leading axis of devices.

  Attributes:
    images: observations, uint8 or float32, shape [B, N, ...].
    labels: int32, shape [B, N].
    mask: float32, shape [B, N]; 0 for padding.
  """

  images: HostOrDevice
  labels: HostOrDevice
  mask: HostOrDevice


def batch_up(
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    devices: parallel.Devices | None = None,
) -> EvaluationData:
  """Cut a test set into batches, padded with zeros that the mask leaves out, and place them.

  Args:
    images: observations, uint8 or float32, shape [M, ...].
    labels: int32, shape [M].
    batch_size: N.
    devices: the devices that share the batches, as many each; a single one unless given.
  """
  devices = devices or parallel.devices(1)
  missing = -len(images) % (batch_size * devices.count)

  def cut(values):
    padding = np.zeros((missing, *values.shape[1:]), values.dtype)
    padded = np.concatenate([values, padding])
    return padded.reshape(devices.count, -1, batch_size, *values.shape[1:])

  whole = EvaluationData(images, labels, np.ones(len(images), np.float32))
  return devices.scatter(jax.tree.map(cut, whole))


def make_evaluation(
    network: Network, execution: Execution | None = None, matmul_precision: str = 'highest'
) -> Callable[..., dict[str, Any]]:
  """Return the compiled function `(variables, test_data) -> metrics` of a network.

  The network runs in evaluation mode. The metrics are `error`, the share of images whose greatest
  logit is not their label's, and `cross_entropy` in nats. Both are means over all images, each
  counted once. Beside them, `confusion` has the number of images of each class (row) by the
  predicted class (column), float32, shape [C, C].

  Args:
    network: the network.
    execution: devices and seeds, one of each unless given. With several seeds, variables and
      metrics have a leading axis of seeds. On several devices, `batch_up` shares the test data out,
      and each device returns the metrics of the whole test set.
    matmul_precision: see `Precision.matmul`.
  """

  def evaluate_batch(variables, batch):
    with jax.default_matmul_precision(matmul_precision):
      activations: Any = network.apply(variables, normalize(batch.images))
    logits = activations[-1]
    predicted = jnp.argmax(logits, -1)
    wrong = (predicted != batch.labels).astype(jnp.float32)
    counted = jax.nn.one_hot(batch.labels, logits.shape[-1]) * batch.mask[:, None]
    chosen = jax.nn.one_hot(predicted, logits.shape[-1])
    return {
        # Sums of zeros and ones, which are exact in float32 up to 16 million images.
        'confusion': jnp.matmul(counted.T, chosen, precision='highest'),
        'error': metrics.masked_mean(wrong, batch.mask),
        'cross_entropy': metrics.masked_mean(
            losses.cross_entropy(logits, batch.labels), batch.mask
        ),
    }

  def evaluate(variables, test_data):
    measured = jax.lax.map(lambda batch: evaluate_batch(variables, batch), test_data)
    return parallel.sum_over_devices(jax.tree.map(lambda leaf: jnp.sum(leaf, 0), measured))

  return (execution or Execution()).compile(evaluate, num_own=1)
