"""Choose the images of each step, as a pure function of (seed, step)."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from multiscale_inversion.errors import HUGE, UserError, check_whole


@dataclasses.dataclass(frozen=True)
class Sampler:
  """Batches of labeled and unlabeled images (Section 3.1).

  An epoch goes once through the unlabeled images in a new random order, without the few that do not
  fill the last batch. Labeled images are repeated: passes through them, each in a new
  random order, follow one another across batches and epochs.

  Attributes:
    num_labeled: size of D_s, at least 1.
    num_unlabeled: size of D_u, at least 1.
    labeled_per_batch: labeled images in a batch, at least 1.
    unlabeled_per_batch: unlabeled images in a batch, at least 1.
  """

  num_labeled: int
  num_unlabeled: int
  labeled_per_batch: int
  unlabeled_per_batch: int

  def __post_init__(self):
    for field in dataclasses.fields(self):
      check_whole(field.name, getattr(self, field.name), -HUGE)  # their ranges are named below
    if min(self.labeled_per_batch, self.unlabeled_per_batch) < 1:
      raise UserError(
          f'batch_size and labeled_fraction: {self.labeled_per_batch} labeled and '
          f'{self.unlabeled_per_batch} unlabeled images a batch; allowed: at least 1 of each'
      )
    if self.num_labeled < 1:
      raise UserError(f'{self.num_labeled}; allowed: at least 1', 'num_labeled')
    if self.num_unlabeled < 1:
      raise UserError(
          f'all {self.num_labeled} training images have a label, so there are no unlabeled ones; '
          'allowed: fewer, or unlabeled=all',
          'num_labeled',
          mentions=('unlabeled',),
      )
    if self.num_unlabeled < self.unlabeled_per_batch:
      raise UserError(
          f'batch_size: takes {self.unlabeled_per_batch} unlabeled images a batch, and there are '
          f'{self.num_unlabeled}; allowed: at most {self.num_unlabeled} unlabeled images a batch'
      )

  @property
  def steps_per_epoch(self) -> int:
    """floor(|D_u| / unlabeled images a batch)."""
    return self.num_unlabeled // self.unlabeled_per_batch

  def epoch(self, key: jax.Array, epoch: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the order of a whole epoch.

    Args:
      key: the sampler's random key, the same in all epochs.
      epoch: counted from 0.

    Returns:
      Positions in D_s, int32, shape [steps_per_epoch, labeled_per_batch], and in D_u, shape
      [steps_per_epoch, unlabeled_per_batch].
    """
    labeled_key, unlabeled_key = jax.random.split(key)
    steps = self.steps_per_epoch

    order = jax.random.permutation(jax.random.fold_in(unlabeled_key, epoch), self.num_unlabeled)
    unlabeled = order[: steps * self.unlabeled_per_batch]

    taken = steps * self.labeled_per_batch  # of the endless sequence of passes through D_s
    first_pass, offset = jnp.divmod(epoch * taken, self.num_labeled)
    passes = first_pass + jnp.arange(math.ceil(taken / self.num_labeled) + 1)
    shuffle = lambda p: jax.random.permutation(jax.random.fold_in(labeled_key, p), self.num_labeled)
    labeled = jax.lax.dynamic_slice(jax.vmap(shuffle)(passes).reshape(-1), (offset,), (taken,))
    return labeled.reshape(steps, -1), unlabeled.reshape(steps, -1)

  def batch(self, key: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the positions in D_s and D_u of a step's batch; steps count from 0 over all epochs."""
    labeled, unlabeled = self.epoch(key, step // self.steps_per_epoch)
    return labeled[step % self.steps_per_epoch], unlabeled[step % self.steps_per_epoch]
