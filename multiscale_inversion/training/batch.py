"""A step's observations: from a training set on the device, or as streamed from the host."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from multiscale_inversion.arrays import HostOrDevice
from multiscale_inversion.data.normalization import normalize

if TYPE_CHECKING:  # it loads Grain, which only streaming needs
  from multiscale_inversion.data.streaming import RawBatch


class TrainData(NamedTuple):
  """A training set, in the host's memory or on the device.

  Attributes:
    images: the observations as the data set stores them, see `Dataset`; shape [N, ...].
    labels: int32, shape [N]. Labels of unlabeled images never reach a batch.
    labeled: positions of the labeled set D_s, int32.
    unlabeled: positions of the unlabeled set D_u, int32.
  """

  images: HostOrDevice
  labels: HostOrDevice
  labeled: HostOrDevice
  unlabeled: HostOrDevice


class Batch(NamedTuple):
  """N labeled and unlabeled observations.

  Attributes:
    images: observations after `normalize`, float32, shape [N, ...].
    labels: int32, shape [N]; arbitrary where mask is 0.
    mask: float32, shape [N]; 1 where labeled, 0 where not.
    positions: indices in the training set, int32, shape [N]; objectives that remember observations
      need them.
  """

  images: jax.Array
  labels: jax.Array
  mask: jax.Array
  positions: jax.Array | None = None


def gather_batch(
    data: TrainData,
    labeled: jax.Array,
    unlabeled: jax.Array,
    image_shape: Sequence[int] | None = None,
) -> Batch:
  """Gather and normalize a batch from a training set on the device.

  Args:
    data: the training set.
    labeled: positions in D_s, as the sampler returns them.
    unlabeled: positions in D_u.
    image_shape: of one observation, if the data hold each as a row of numbers.
  """
  positions = jnp.concatenate([data.labeled[labeled], data.unlabeled[unlabeled]])
  mask = jnp.concatenate([jnp.ones(labeled.shape), jnp.zeros(unlabeled.shape)])
  labels = jnp.where(mask > 0, data.labels[positions], -1)
  images = data.images[positions]
  if image_shape is not None:
    images = images.reshape(len(positions), *image_shape)
  return Batch(normalize(images), labels, mask, positions)


def prepare_batch(raw: 'RawBatch') -> Batch:
  """Normalize the images of a batch that was streamed from the host."""
  rest = (jnp.asarray(values) for values in (raw.labels, raw.mask, raw.positions))
  return Batch(normalize(raw.images), *rest)
