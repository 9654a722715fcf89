"""The training step and its loop over many steps, as pure functions."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import optax

from multiscale_inversion import metrics as metrics_lib
from multiscale_inversion import parallel, seeds
from multiscale_inversion.data.normalization import normalize
from multiscale_inversion.data.sampler import Sampler
from multiscale_inversion.data.streaming import RawBatch
from multiscale_inversion.errors import UserError
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.networks.base import Network, merge_updates
from multiscale_inversion.objectives import Context, Objective, Start
from multiscale_inversion.objectives.context import Augment, Variables

Metrics = dict[str, metrics_lib.Mean]


class TrainState(NamedTuple):
  """All that training changes.

  Attributes:
    step: number of steps done, an int32 scalar.
    params: the network's parameters.
    batch_stats: the network's running statistics; `{}` where it has none.
    opt_state: the optimizer's state.
    memory: what the objective's terms remember, see `objectives.ContextTerm`; `{}` for nothing.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: optax.OptState
  memory: Any

  def variables(self) -> Variables:
    """What `apply` and `stages` take."""
    return {'params': self.params, 'batch_stats': self.batch_stats}


class Batch(NamedTuple):
  """N observations, labeled and unlabeled ones together.

  Attributes:
    images: normalized, float32, shape [N, H, W, C].
    labels: int32, shape [N]; arbitrary where mask is 0.
    mask: float32, shape [N]; 1 where labeled, 0 where not.
    positions: in the training set, int32, shape [N]; for objectives that remember observations.
  """

  images: jax.Array
  labels: jax.Array
  mask: jax.Array
  positions: jax.Array | None = None


class TrainData(NamedTuple):
  """A training set on the device.

  Attributes:
    images: uint8, shape [N, H, W, C].
    labels: int32, shape [N]. Those of unlabeled images never reach a batch.
    labeled, unlabeled: D_s and D_u as positions, int32.
  """

  images: jax.Array
  labels: jax.Array
  labeled: jax.Array
  unlabeled: jax.Array


class Keys(NamedTuple):
  """Random keys of one run, one a purpose; all functions of its seed."""

  init: jax.Array
  sampling: jax.Array
  dropout: jax.Array


def keys_from_seed(seed: int) -> Keys:
  """Derives a run's keys from its seed."""
  key = jax.random.key(seed)
  return Keys(*(jax.random.fold_in(key, index) for index in range(len(Keys._fields))))


def piecewise_schedule(
    learning_rate: float,
    num_steps: int,
    decay_epochs: Sequence[int] = (150, 300),
    reference_epochs: int = 400,
    factor: float = 0.5,
) -> optax.Schedule:
  """The paper's learning rate (Section 3.1), halved from the first step of two epochs on.

  Args:
    learning_rate: the initial one, gamma^(0).
    num_steps: length of the whole training, to which the epochs are scaled in proportion.
    decay_epochs: from whose first step on the rate is multiplied; counted from 0.
    reference_epochs: number of epochs of which they are.
    factor: by what it is multiplied each time.

  Returns:
    A function of the step, counted from 0.
  """
  boundaries: dict[int, float] = {}
  for epoch in decay_epochs:  # in a short training, two may fall on one step
    step = round(num_steps * epoch / reference_epochs)
    boundaries[step] = boundaries.get(step, 1.0) * factor
  return optax.piecewise_constant_schedule(learning_rate, boundaries)


# Of a network's variables, what a train state holds.
_COLLECTIONS = ('params', 'batch_stats')


def create_state(
    network: Network,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    image_shape: Sequence[int],
    objective: Objective | None = None,
    num_train: int = 0,
) -> TrainState:
  """Initializes the network, the optimizer and the objective's memory.

  Args:
    network: the network.
    optimizer: the optimizer.
    key: random key of the initialization.
    image_shape: (H, W, C) of the images.
    objective: what will be minimized; needed where it has a memory.
    num_train: size of the training set; needed where the objective remembers observations.

  Raises:
    UserError: for a network that needs variables beside parameters and batch statistics, whose last
      activation is not a logit a class, or whose batch norm ignores its `axis_name`; for an
      objective whose averaged variables are not the network's.
  """
  sample = jnp.zeros((1, *image_shape), jnp.float32)
  variables = jax.jit(network.init)(key, sample)
  _check_network(network, variables, sample)
  variables = {name: variables.get(name, {}) for name in _COLLECTIONS}
  memory = {}
  if objective is not None:
    num_layers = network.bind(variables).num_layers()
    memory = objective.init(Start(variables, num_train, network.num_classes, num_layers))
    objective.averaged(memory, variables)  # refused now, not after an epoch
  opt_state = optimizer.init(variables['params'])
  return TrainState(jnp.zeros((), jnp.int32), *variables.values(), opt_state, memory)


def _check_network(network: Network, variables: Any, sample: jax.Array) -> None:
  held = {name: variables[name] for name in _COLLECTIONS if name in variables}
  try:
    shape = jax.eval_shape(network.apply, held, sample)[-1].shape
  except flax.errors.FlaxError as error:
    unknown = ', '.join(sorted(variables.keys() - held))
    if not unknown:
      raise
    raise UserError(
        f'network: variables in {unknown}; allowed: {", ".join(_COLLECTIONS)}'
    ) from error
  if shape != (1, network.num_classes):
    raise UserError(
        f'network: its last activation has the shape {shape} for one image; allowed: '
        f'(1, {network.num_classes}), a logit a class'
    )
  if network.ignores_axis(held, sample):
    raise UserError(
        'num_devices: the network has batch statistics that are not taken over its axis_name; '
        'allowed: 1, or batch norm with axis_name=self.axis_name'
    )


def check_axis(network: Network, state: TrainState, axis_name: str | None) -> None:
  """Checks that batch statistics are taken over all devices of a mapped axis.

  Raises:
    UserError: for a network that has some and was made for another axis: each device would have its
      own, of which one's would be kept.
  """
  if axis_name is not None and state.batch_stats and network.axis_name != axis_name:
    raise UserError(
        f'num_devices: the network has batch statistics, and axis_name={network.axis_name!r}; '
        f'allowed: {axis_name!r}'
    )


def _unchanged(key: jax.Array, images: jax.Array) -> jax.Array:
  del key
  return images


@dataclasses.dataclass(frozen=True)
class Trainer:
  """What is trained and how: the static part of every compiled function of this module.

  Attributes:
    network: the network.
    objective: what is minimized.
    optimizer: an optax transformation.
    axis_name: mapped axis over whose devices a batch is spread, also the network's; None for one
      device.
    matmul_precision: of matrix products and convolutions, see `Precision.matmul`.
    rematerialize: keep of each layer its input and its reconstruction alone, and compute the rest
      again where derivatives need it: less memory, more time.
    num_steps: of the whole training, to which schedules in the objective refer.
    weak: augmentation (key, images) -> images of what the network is trained on.
    strong: a stronger one, for objectives that compare two.
  """

  network: Network
  objective: Objective
  optimizer: optax.GradientTransformation
  axis_name: str | None = None
  matmul_precision: str = 'highest'
  rematerialize: bool = False
  num_steps: int = 1
  weak: Augment = _unchanged
  strong: Augment = _unchanged

  def dropout_key(self, run_key: jax.Array, step: jax.Array) -> jax.Array:
    """The key of a step's dropout, from the run's; another one on each device."""
    return parallel.fold_in_device(jax.random.fold_in(run_key, step), self.axis_name)

  def inversion(
      self, params: Any, batch_stats: Any, images: jax.Array, dropout_key: jax.Array
  ) -> Inversion:
    """The training pass of normalized images through the network and back."""
    variables = {'params': params, 'batch_stats': batch_stats}
    return self.network.invert(
        variables,
        images,
        train=True,
        rngs={'dropout': dropout_key},
        keep_pullbacks=True,
        rematerialize=self.rematerialize,
    )

  def forward(
      self, variables: Variables, images: jax.Array, dropout_key: jax.Array
  ) -> tuple[jax.Array, Any]:
    """Return the logits and the updated `batch_stats` of a training pass of normalized images."""
    activations, updates = self.network.apply(
        variables, images, train=True, rngs={'dropout': dropout_key}, mutable=['batch_stats']
    )
    return activations[-1], updates.get('batch_stats', variables['batch_stats'])

  def evaluated(self, state: TrainState) -> Variables:
    """Return the variables to evaluate, of the objective's average where it keeps one.

    An average's parameters come with the batch statistics that belong to them.
    """
    return self.objective.averaged(state.memory, state.variables())

  def augmented(self, images: jax.Array, dropout_key: jax.Array) -> jax.Array:
    """What the network sees of normalized images in the step of that dropout key."""
    return self.weak(_purpose(dropout_key, 'augmentation'), images)

  def _context(
      self, state: TrainState, batch: Batch, inputs: jax.Array, params: Any, key: jax.Array
  ) -> Context:
    """What the objective may know; `key` is the step's."""
    return Context(
        images=batch.images,
        positions=batch.positions,
        inputs=inputs,
        step=state.step,
        progress=state.step.astype(jnp.float32) / self.num_steps,
        key=_purpose(key, 'objective'),
        variables={'params': params, 'batch_stats': state.batch_stats},
        forward=self.forward,
        weak=self.weak,
        strong=self.strong,
        memory=state.memory,
    )

  def train_step(
      self, state: TrainState, batch: Batch, dropout_key: jax.Array
  ) -> tuple[TrainState, Metrics]:
    """One step of the optimizer on the mean of the objective over a batch.

    Args:
      state: before the step, the same on all devices.
      batch: the observations; on several devices, this one's equal share of them, with as many
        labeled ones as on each other device.
      dropout_key: random key of the run's dropout; the step's own is folded from it.

    Returns:
      The state after the step, and the batch's `loss`, `cross_entropy` and `entropy`, with
      `reconstruction` and `reconstruction/l` where the objective inverts, and what its terms have
      recorded; of the state before.
    """

    def loss_of(params):
      key = self.dropout_key(dropout_key, state.step)
      images = self.augmented(batch.images, key)
      inversion = self.inversion(params, state.batch_stats, images, key)
      context = self._context(state, batch, images, params, key)
      found = self.objective.evaluate(inversion, batch.labels, batch.mask, context)
      measured = {'loss': metrics_lib.masked_mean(found.values, jnp.ones_like(batch.mask))}
      measured |= metrics_lib.classification_metrics(inversion, batch.labels, batch.mask)
      if self.objective.inverts:
        measured |= metrics_lib.reconstruction_metrics(inversion)
      count = parallel.num_devices(self.axis_name)
      measured |= {name: metrics_lib.single(v, 1 / count) for name, v in found.scalars.items()}
      share = jnp.mean(found.values) / count
      return share, (measured, merge_updates(inversion.auxiliary), found.news)

    with jax.default_matmul_precision(self.matmul_precision):
      gradients, (measured, updates, news) = jax.grad(loss_of, has_aux=True)(state.params)
    gradients, measured = parallel.all_sum((gradients, measured), self.axis_name)
    changes, opt_state = self.optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, changes)
    batch_stats = updates.get('batch_stats', state.batch_stats)
    variables = {'params': params, 'batch_stats': batch_stats}
    memory = self.objective.update(state.memory, news, variables)
    return TrainState(state.step + 1, params, batch_stats, opt_state, memory), measured


# Beside dropout, whose key is the step's own.
_PURPOSES = ('augmentation', 'objective')


def _purpose(step_key: jax.Array, purpose: str) -> jax.Array:
  """A step's random key for what is not dropout."""
  return jax.random.fold_in(step_key, _PURPOSES.index(purpose) + 1)


def gather_batch(data: TrainData, labeled: jax.Array, unlabeled: jax.Array) -> Batch:
  """Gathers and normalizes a batch from the training set.

  Args:
    data: the training set.
    labeled: positions in D_s, as the sampler gives them.
    unlabeled: positions in D_u.
  """
  positions = jnp.concatenate([data.labeled[labeled], data.unlabeled[unlabeled]])
  mask = jnp.concatenate([jnp.ones(labeled.shape), jnp.zeros(unlabeled.shape)])
  labels = jnp.where(mask > 0, data.labels[positions], -1)
  return Batch(normalize(data.images[positions]), labels, mask, positions)


class Progress(NamedTuple):
  """A training under way: what the loop carries, and a checkpoint holds.

  Attributes:
    state: the training's.
    sums: metrics summed since the last record.
  """

  state: TrainState
  sums: Metrics


def start(trainer: Trainer, sampler: Sampler, state: TrainState, data: TrainData) -> Progress:
  """A training before its first step."""
  return Progress(state, zero_sums(trainer, sampler, state, data))


def zero_sums(trainer: Trainer, sampler: Sampler, state: TrainState, data: TrainData) -> Metrics:
  """Metrics of no step at all, in the structure that `train_step` measures them."""

  def measure(state, data):
    key = jax.random.key(0)
    batch = _device_batch(trainer, data, *sampler.batch(key, state.step))
    return trainer.train_step(state, batch, key)[1]

  if trainer.axis_name is not None:  # the axis must exist, whatever its size
    measure = jax.vmap(measure, in_axes=None, axis_size=1, axis_name=trainer.axis_name)
  return jax.tree.map(
      lambda leaf: jnp.zeros((), leaf.dtype), jax.eval_shape(measure, state, data)
  )


def prepare_batch(raw: RawBatch) -> Batch:
  """Normalizes the images of a batch that was streamed from the host."""
  return Batch(normalize(raw.images), raw.labels, raw.mask, raw.positions)


def _device_batch(trainer, data, labeled, unlabeled) -> Batch:
  """The share of the batch at these positions that this device trains on."""
  axis = trainer.axis_name
  return gather_batch(data, parallel.share(labeled, axis), parallel.share(unlabeled, axis))


_OWN_DATA = TrainData(None, None, 0, 0)  # the seeds share the images, not the choice of labels


def advance(trainer: Trainer, progress: Progress, batch: Batch, key: jax.Array) -> Progress:
  """A training step whose metrics are added to the sums; the arguments are `train_step`'s."""
  state, measured = trainer.train_step(progress.state, batch, key)
  return Progress(state, metrics_lib.add(progress.sums, measured))


def make_loop(
    trainer: Trainer,
    sampler: Sampler,
    devices: parallel.Devices | None = None,
    seeds_mode: str | None = None,
) -> Callable[[Progress, TrainData, Keys, jax.Array], Progress]:
  """Returns the compiled loop `(progress, data, keys, num_steps) -> progress`.

  It runs `num_steps` steps in one dispatch, on data that stay on the device, and adds their
  metrics to the sums. The number is an argument, not a constant: however steps are grouped, there
  is one compiled program, and the result is the same bit for bit. (`lax.scan`, whose length is
  part of the program, would compile anew for the last group of an epoch.) The steps must belong to
  one epoch, whose order is drawn once; the buffers of `progress` are donated.

  Args:
    trainer: its `axis_name` is the devices'.
    sampler: which images a step takes; its shares of a batch divide by the number of devices.
    devices: one unless given. On several, the arguments are those of one, each as
      `devices.replicate` gives it.
    seeds_mode: for several runs at once, one of `seeds.MODES`: then `progress`, `keys` and the
      positions in `data` have a leading axis of seeds.
  """

  def run(progress, data, keys, num_steps):
    epoch = progress.state.step // sampler.steps_per_epoch
    labeled, unlabeled = sampler.epoch(keys.sampling, epoch)

    def body(_, progress):
      index = progress.state.step % sampler.steps_per_epoch
      batch = _device_batch(trainer, data, labeled[index], unlabeled[index])
      return advance(trainer, progress, batch, keys.dropout)

    return jax.lax.fori_loop(0, num_steps, body, progress)

  if seeds_mode is not None:
    run = seeds.over_seeds(run, (0, _OWN_DATA, 0, None), seeds_mode)
  return (devices or parallel.devices(1)).compile(run, donate=0)


def make_streamed_step(
    trainer: Trainer, devices: parallel.Devices | None = None
) -> Callable[[Progress, RawBatch, Keys], Progress]:
  """Returns the compiled step `(progress, raw batch, keys) -> progress`, of a streamed batch.

  As a step of `make_loop`'s, for data that stay on the host.
  """

  def run(progress, raw, keys):
    return advance(trainer, progress, prepare_batch(raw), keys.dropout)

  return (devices or parallel.devices(1)).compile(run, donate=0)


def make_streamed_diagnosis(
    trainer: Trainer, devices: parallel.Devices | None = None
) -> Callable[[TrainState, RawBatch, Keys], Metrics]:
  """Returns the compiled `(state, raw batch, keys) -> reconstruction metrics`."""

  def diagnose(state, raw, keys):
    return _reconstruction_metrics(trainer, state, prepare_batch(raw), keys)

  return (devices or parallel.devices(1)).compile(diagnose)


def _reconstruction_metrics(trainer, state, batch, keys) -> Metrics:
  key = trainer.dropout_key(keys.dropout, state.step)
  with jax.default_matmul_precision(trainer.matmul_precision):
    images = trainer.augmented(batch.images, key)
    inversion = trainer.inversion(state.params, state.batch_stats, images, key)
  return parallel.all_sum(metrics_lib.reconstruction_metrics(inversion), trainer.axis_name)


def make_diagnosis(
    trainer: Trainer,
    sampler: Sampler,
    devices: parallel.Devices | None = None,
    seeds_mode: str | None = None,
) -> Callable[[TrainState, TrainData, Keys], Metrics]:
  """Returns the compiled `(state, data, keys) -> reconstruction metrics`, of the last step's batch.

  For objectives that do not invert, whose steps leave the reconstructions uncomputed. The arguments
  are those of `make_loop`.
  """

  def diagnose(state, data, keys):
    step = jnp.maximum(state.step - 1, 0)
    batch = _device_batch(trainer, data, *sampler.batch(keys.sampling, step))
    return _reconstruction_metrics(trainer, state, batch, keys)

  if seeds_mode is not None:
    diagnose = seeds.over_seeds(diagnose, (0, _OWN_DATA, 0), seeds_mode)
  return (devices or parallel.devices(1)).compile(diagnose)
