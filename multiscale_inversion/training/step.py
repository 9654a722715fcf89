"""One training step, as a pure function."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from multiscale_inversion import metrics as metrics_lib
from multiscale_inversion import parallel
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.networks.base import Network, merge_updates
from multiscale_inversion.nn.dropout import generator_key
from multiscale_inversion.objectives import Context, Objective
from multiscale_inversion.objectives.context import Augment, Variables
from multiscale_inversion.training.batch import Batch
from multiscale_inversion.training.state import Metrics, TrainState

# Purposes of a step's random keys. Dropout has the step's own key; these are folded from it.
_PURPOSES = ('augmentation', 'objective')


def _unchanged(key: jax.Array, images: jax.Array) -> jax.Array:
  del key
  return images


def _fold_in_purpose(step_key: jax.Array, purpose: str) -> jax.Array:
  return jax.random.fold_in(step_key, _PURPOSES.index(purpose) + 1)


@dataclasses.dataclass(frozen=True, eq=False)  # hashed by identity, so that `jax.jit` takes it
class TrainingStep:
  """A step of the optimizer on a batch's mean loss; call it to do one.

  Attributes:
    network: the network.
    objective: what is minimized.
    optimizer: an optax transformation.
    matmul_precision: precision of matrix products and convolutions, see `Precision.matmul`.
    rematerialize: keep only each layer's input and reconstruction, and compute the rest again where
      derivatives need it: less memory, more time.
    num_steps: length of the whole training, to which schedules in the objective refer.
    weak: augmentation (key, images) -> images of what the network is trained on.
    strong: a stronger one, for objectives that compare the two.
    dropout_generator: of the masks' random bits, see `nn.dropout.generator_key`.
  """

  network: Network
  objective: Objective
  optimizer: optax.GradientTransformation
  matmul_precision: str = 'highest'
  rematerialize: bool = False
  num_steps: int = 1
  weak: Augment = _unchanged
  strong: Augment = _unchanged
  dropout_generator: str = 'threefry'

  def __call__(
      self, state: TrainState, batch: Batch, dropout_key: jax.Array
  ) -> tuple[TrainState, Metrics]:
    """Do one step.

    Args:
      state: the state before the step, the same on all devices.
      batch: the observations; on several devices, this one's equal share of them, with as many
        labeled ones as each other device has.
      dropout_key: the run's random key of dropout; the step's own is folded from it.

    Returns:
      The state after the step, and metrics of the batch at the parameters before it: `loss`,
      `cross_entropy` and `entropy`; `reconstruction` and `reconstruction/l` if the objective
      inverts; and the scalars of its terms.
    """
    with jax.default_matmul_precision(self.matmul_precision):
      gradients, (measured, updates, to_remember) = jax.grad(self._loss, has_aux=True)(
          state.params, state, batch, dropout_key
      )
    gradients, measured = parallel.sum_over_devices((gradients, measured))
    changes, opt_state = self.optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, changes)
    batch_stats = updates.get('batch_stats', state.batch_stats)
    variables = {'params': params, 'batch_stats': batch_stats}
    memory = self.objective.update(state.memory, to_remember, variables)
    return TrainState(state.step + 1, params, batch_stats, opt_state, memory), measured

  def _loss(
      self, params: Any, state: TrainState, batch: Batch, dropout_key: jax.Array
  ) -> tuple[jax.Array, tuple[Metrics, Any, Any]]:
    """Return this device's share of the loss at `params`, and what is measured beside it.

    The latter are the metrics, the updates of other variables, and what the objective remembers.
    """
    key = self.dropout_key(dropout_key, state.step)
    images = self.augmented(batch.images, key)
    inversion = self.inversion(params, state.batch_stats, images, key)
    context = self._context(state, batch, images, params, key)
    output = self.objective.evaluate(inversion, batch.labels, batch.mask, context)
    measured = {'loss': metrics_lib.masked_mean(output.values, jnp.ones_like(batch.mask))}
    measured |= metrics_lib.classification_metrics(inversion, batch.labels, batch.mask)
    if self.objective.inverts:
      measured |= metrics_lib.reconstruction_metrics(inversion)
    count = parallel.num_devices()
    scalars = output.scalars or {}
    measured |= {name: metrics_lib.single(v, 1 / count) for name, v in scalars.items()}
    share = jnp.mean(output.values) / count
    return share, (measured, merge_updates(inversion.auxiliary), output.to_remember)

  def dropout_key(self, run_key: jax.Array, step: jax.Array) -> jax.Array:
    """Return the key of a step's dropout from the run's key; each device has its own."""
    return parallel.fold_in_device(jax.random.fold_in(run_key, step))

  def _rngs(self, dropout_key: jax.Array) -> dict[str, jax.Array]:
    return {'dropout': generator_key(dropout_key, self.dropout_generator)}

  def augmented(self, images: jax.Array, step_key: jax.Array) -> jax.Array:
    """Return normalized images as the network sees them in the step of that dropout key."""
    return self.weak(_fold_in_purpose(step_key, 'augmentation'), images)

  def inversion(
      self, params: Any, batch_stats: Any, images: jax.Array, step_key: jax.Array
  ) -> Inversion:
    """Pass normalized images through the network and back, in training mode."""
    variables = {'params': params, 'batch_stats': batch_stats}
    return self.network.invert(
        variables,
        images,
        train=True,
        rngs=self._rngs(step_key),
        keep_pullbacks=True,
        rematerialize=self.rematerialize,
    )

  def forward(
      self, variables: Variables, images: jax.Array, dropout_key: jax.Array
  ) -> tuple[jax.Array, Any]:
    """Return the logits and the updated `batch_stats` of a training pass of normalized images."""
    activations, updates = self.network.apply(
        variables, images, train=True, rngs=self._rngs(dropout_key), mutable=['batch_stats']
    )
    return activations[-1], updates.get('batch_stats', variables['batch_stats'])

  def evaluated(self, state: TrainState) -> Variables:
    """Return the variables to evaluate: the objective's average if it keeps one.

    An average's parameters come with the batch statistics that belong to them.
    """
    return self.objective.averaged(state.memory, state.variables())

  def reconstruction_metrics(
      self, state: TrainState, batch: Batch, dropout_key: jax.Array
  ) -> Metrics:
    """Measure the reconstruction losses of a batch; the arguments are those of a step."""
    key = self.dropout_key(dropout_key, state.step)
    with jax.default_matmul_precision(self.matmul_precision):
      images = self.augmented(batch.images, key)
      inversion = self.inversion(state.params, state.batch_stats, images, key)
    return parallel.sum_over_devices(metrics_lib.reconstruction_metrics(inversion))

  def zero_sums(
      self, state: TrainState, batch_size: int, image_shape: Sequence[int]
  ) -> Metrics:
    """Return the metrics of no step at all, with the structure of those of a step.

    Args:
      state: any state, or its shapes.
      batch_size: N.
      image_shape: of one observation, such as (H, W, C).
    """
    each = jnp.zeros(batch_size, jnp.int32)
    images = lambda: jnp.zeros((batch_size, *image_shape), jnp.float32)
    batch = jax.eval_shape(lambda: Batch(images(), each, each.astype(jnp.float32), each))
    # The loss alone: its derivative would take twice the time to trace.
    measure = lambda state, batch, key: self._loss(state.params, state, batch, key)[1][0]
    measured = parallel.eval_shape(measure, state, batch, jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.zeros((), leaf.dtype), measured)

  def _context(
      self, state: TrainState, batch: Batch, inputs: jax.Array, params: Any, key: jax.Array
  ) -> Context:
    return Context(
        images=batch.images,
        positions=batch.positions,
        inputs=inputs,
        step=state.step,
        progress=state.step.astype(jnp.float32) / self.num_steps,
        key=_fold_in_purpose(key, 'objective'),
        variables={'params': params, 'batch_stats': state.batch_stats},
        forward=self.forward,
        weak=self.weak,
        strong=self.strong,
        memory=state.memory,
    )
