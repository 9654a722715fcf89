"""Stream batches from the host's memory, for data sets that a device cannot hold."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import grain
import jax
import numpy as np

from multiscale_inversion.arrays import HostOrDevice
from multiscale_inversion.data.sampler import Sampler

# Batches gathered ahead of the step under way, and threads that gather them.
_PREFETCH = 8
_THREADS = 2


class RawBatch(NamedTuple):
  """A batch before normalization, as the data set stores it.

  Attributes:
    images: observations, uint8 or float32, shape [N, ...]; labeled ones first.
    labels: int32, shape [N]; -1 where unlabeled.
    mask: float32, shape [N]; 1 where labeled.
    positions: in the training set, int32, shape [N].
  """

  images: HostOrDevice
  labels: HostOrDevice
  mask: HostOrDevice
  positions: HostOrDevice


class _Source:
  """The batches of a training by step: Grain's random access."""

  def __init__(self, images, labels, labeled, unlabeled, sampler, key, num_steps, num_devices):
    self._images, self._labels = images, labels
    self._sets = (labeled, unlabeled)
    self._steps_per_epoch = sampler.steps_per_epoch
    self._num_steps, self._num_devices = num_steps, num_devices
    order = jax.jit(sampler.epoch)
    # Neighboring steps of at most two epochs are gathered at the same time.
    self._order = functools.lru_cache(maxsize=2)(
        lambda epoch: tuple(map(np.asarray, order(key, np.int32(epoch))))
    )

  def __len__(self):
    return self._num_steps

  def __repr__(self):
    return f'batches of {self._num_steps} steps'

  def __getitem__(self, step):
    epoch, index = divmod(int(step), self._steps_per_epoch)
    parts, masks = [], []
    for members, order, is_labeled in zip(self._sets, self._order(epoch), (1, 0), strict=True):
      part = members[order[index]].reshape(self._num_devices, -1)
      parts.append(part)
      masks.append(np.full(part.shape, is_labeled, np.float32))
    positions, mask = np.concatenate(parts, 1), np.concatenate(masks, 1)
    labels = np.where(mask > 0, self._labels[positions], -1).astype(np.int32)
    return RawBatch(self._images[positions], labels, mask, positions.astype(np.int32))


def stream(
    images: HostOrDevice,
    labels: HostOrDevice,
    labeled: HostOrDevice,
    unlabeled: HostOrDevice,
    sampler: Sampler,
    key: jax.Array,
    num_steps: int,
    first_step: int = 0,
    num_devices: int = 1,
) -> Iterator[RawBatch]:
  """Yield the batches that the sampler would take from data on the device, ahead of their use.

  Args:
    images: observations, uint8 or float32, shape [N, ...]: an array, or one mapped from a file.
    labels: shape [N].
    labeled: D_s as positions.
    unlabeled: D_u as positions.
    sampler: which images a step takes.
    key: the run's sampling key.
    num_steps: of the whole training.
    first_step: where to begin.
    num_devices: among which a batch is shared out.

  Yields:
    A `RawBatch` a step, with a leading axis of devices, each with its shares of the labeled and the
    unlabeled images.
  """
  source = _Source(
      images, labels, labeled, unlabeled, sampler, key, num_steps, num_devices
  )
  steps = grain.MapDataset.source(source).slice(slice(first_step, None))
  return iter(steps.to_iter_dataset(grain.ReadOptions(_THREADS, _PREFETCH)))
