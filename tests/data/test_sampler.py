import jax
import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion.data import Sampler
from multiscale_inversion.errors import UserError

KEY = jax.random.key(5)
epoch_of = jax.jit(Sampler.epoch, static_argnums=0)


def _epochs(sampler, epochs, key=KEY):
  """The orders of some epochs, in NumPy."""
  return [tuple(map(np.asarray, epoch_of(sampler, key, jnp.int32(epoch)))) for epoch in epochs]


def _check_passes(sampler, epochs):
  """Checks the endless row of passes through D_s where `epochs` show it; returns whole passes."""
  size = sampler.steps_per_epoch * sampler.labeled_per_batch
  passes = {}
  for epoch, (labeled, _) in zip(epochs, _epochs(sampler, epochs)):
    assert labeled.shape == (sampler.steps_per_epoch, sampler.labeled_per_batch)
    assert labeled.dtype == np.int32
    for place, image in enumerate(labeled.reshape(-1).tolist()):
      passes.setdefault((epoch * size + place) // sampler.num_labeled, []).append(image)
  whole = []
  for images in passes.values():
    assert len(set(images)) == len(images)
    assert set(images) <= set(range(sampler.num_labeled))
    if len(images) == sampler.num_labeled:
      whole.append(tuple(images))
  return whole


@pytest.mark.parametrize(
    ('num_labeled', 'num_unlabeled', 'labeled_per_batch', 'unlabeled_per_batch', 'whole_passes'),
    [
        (3, 20, 5, 4, 25),  # smaller than a batch: 75 in 3 epochs
        (7, 23, 4, 5, 6),  # larger: 48 in 3 epochs, the passes end inside batches and epochs
        (20, 23, 4, 5, 2),  # larger than an epoch takes, so that passes span epochs
        (24, 24, 4, 4, 3),  # a pass is an epoch
        (1, 20, 5, 4, 75),
    ],
)
def test_labeled_images_come_pass_after_pass_across_batches_and_epochs(
    num_labeled, num_unlabeled, labeled_per_batch, unlabeled_per_batch, whole_passes
):
  sampler = Sampler(num_labeled, num_unlabeled, labeled_per_batch, unlabeled_per_batch)
  whole = _check_passes(sampler, range(3))
  assert len(whole) == whole_passes
  if num_labeled > 1:
    assert len(set(whole)) > 1  # a new order in each


def test_passes_go_on_in_late_epochs():
  whole = _check_passes(Sampler(7, 23, 4, 5), [397, 398, 399])
  assert len(whole) in (5, 6)  # 48 places, wherever the first pass begins


@pytest.mark.parametrize(
    ('sampler', 'steps'),
    [(Sampler(24, 24, 4, 4), 6), (Sampler(7, 23, 4, 5), 4), (Sampler(3, 24, 2, 24), 1)],
)
def test_an_epoch_goes_once_through_the_unlabeled_images(sampler, steps):
  num_unlabeled, per_batch = sampler.num_unlabeled, sampler.unlabeled_per_batch
  assert sampler.steps_per_epoch == steps
  orders = []
  for _, unlabeled in _epochs(sampler, range(4)):
    assert unlabeled.shape == (steps, per_batch)
    assert unlabeled.dtype == np.int32
    images = unlabeled.reshape(-1).tolist()
    assert len(set(images)) == steps * per_batch
    assert set(images) <= set(range(num_unlabeled))
    orders.append(tuple(images))
  assert len(set(orders)) == 4


def test_no_image_is_left_over_for_ever():
  sampler = Sampler(7, 23, 4, 5)  # 3 images are left over in each epoch
  seen = [set(unlabeled.reshape(-1).tolist()) for _, unlabeled in _epochs(sampler, range(12))]
  assert all(len(images) == 20 for images in seen)
  assert set().union(*seen) == set(range(23))


def test_orders_are_a_function_of_the_key():
  sampler = Sampler(24, 24, 4, 4)
  first, again, other = (
      np.concatenate([part.reshape(-1) for part in _epochs(sampler, [2], key)[0]])
      for key in (KEY, KEY, jax.random.key(6))
  )
  np.testing.assert_array_equal(first, again)
  assert (first[:24] != other[:24]).any()
  assert (first[24:] != other[24:]).any()


def test_the_two_orders_have_nothing_in_common():
  sampler = Sampler(24, 24, 4, 4)  # passes and epochs are equally long
  for labeled, unlabeled in _epochs(sampler, range(3)):
    assert (labeled != unlabeled).any()


def test_a_step_is_its_row_of_the_epoch_under_jit():
  sampler = Sampler(7, 23, 4, 5)
  batch = jax.jit(sampler.batch)
  epochs = _epochs(sampler, range(3))
  for step in range(12):
    labeled, unlabeled = batch(KEY, jnp.int32(step))
    np.testing.assert_array_equal(labeled, epochs[step // 4][0][step % 4])
    np.testing.assert_array_equal(unlabeled, epochs[step // 4][1][step % 4])


@pytest.mark.parametrize(('labeled', 'unlabeled'), [(0, 5), (5, 0), (-1, 3)])
def test_a_batch_without_one_kind_is_an_error(labeled, unlabeled):
  with pytest.raises(UserError) as info:
    Sampler(10, 100, labeled, unlabeled)
  assert str(info.value) == (
      f'batch_size and labeled_fraction: {labeled} labeled and {unlabeled} unlabeled images a '
      'batch; allowed: at least 1 of each'
  )


def test_a_batch_larger_than_the_unlabeled_set_is_an_error():
  with pytest.raises(UserError) as info:
    Sampler(10, 24, 25, 25)
  message = 'batch_size: takes 25 unlabeled images a batch, and there are 24; '
  assert str(info.value) == message + 'allowed: at most 24 unlabeled images a batch'
