"""Batches from the host against those of the sampler on the device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion import training
from multiscale_inversion.data import Sampler
from multiscale_inversion.data.streaming import RawBatch, stream

SAMPLER = Sampler(10, 36, 4, 8)  # 4 steps an epoch
STEPS = 11


@pytest.fixture(scope='module')
def data():
  random = np.random.RandomState(0)
  positions = random.permutation(46).astype(np.int32)
  return training.TrainData(
    random.randint(256, size=(46, 4, 4, 3)).astype(np.uint8),
    random.randint(5, size=46).astype(np.int32),
    np.sort(positions[:10]), np.sort(positions[10:]),
  )


def on_device(data, key, step, rows=slice(None)):
  labeled, unlabeled = SAMPLER.batch(key, jnp.int32(step))
  return training.gather_batch(jax.tree.map(jnp.asarray, data), labeled, unlabeled)


@pytest.mark.parametrize('first_step', [0, 3, 6])
def test_equal_bit_for_bit(data, first_step):
  key = jax.random.key(5)
  streamed = list(stream(*data, SAMPLER, key, STEPS, first_step))
  assert len(streamed) == STEPS - first_step
  for step, of_devices in enumerate(streamed, first_step):
    raw = jax.tree.map(lambda part: part[0], of_devices)
    assert raw.images.dtype == np.uint8
    for a, b in zip(training.prepare_batch(raw), on_device(data, key, step), strict=True):
      assert a.dtype == b.dtype
      np.testing.assert_array_equal(a, b)


def test_shared_out_among_devices(data):
  key = jax.random.key(5)
  for step, raw in enumerate(stream(*data, SAMPLER, key, 5, num_devices=2)):
    whole = on_device(data, key, step)
    for device in range(2):
      rows = [*range(2 * device, 2 * device + 2), *range(4 + 4 * device, 8 + 4 * device)]
      mine = training.prepare_batch(RawBatch(*(part[device] for part in raw)))
      for a, b in zip(mine, whole, strict=True):
        np.testing.assert_array_equal(a, b[np.array(rows)])


def test_unlabeled_labels_never_leave_the_host(data):
  for raw in stream(*data, SAMPLER, jax.random.key(0), 4):
    assert np.all(raw.labels[raw.mask == 0] == -1)
    assert np.all(raw.labels[raw.mask == 1] >= 0)
