"""From a configuration to the objects that train it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from multiscale_inversion import (
  data,
  evaluation,
  networks,
  objectives,
  parallel,
  precision,
  training,
)
from multiscale_inversion import seeds as seeds_lib
from multiscale_inversion.data import augmentation
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs.config import chosen_options, data_options, resolve


class Setup(NamedTuple):
  """An experiment, ready to start.

  Attributes:
    dataset: the data set, on the host.
    devices: what it runs on.
    trainer: network, objective, optimizer.
    sampler: which images a step takes.
    seeds: of the runs.
    seeds_mode: how several runs share a program; None for a single one.
    keys: the runs' random keys; where there are several, with a leading axis of seeds.
    train_data: on each device, positions with that axis, too; or on the host.
    on_host: whether training data stay on the host, and are streamed.
    test_data: on each device.
    num_steps: of the whole training.
  """

  dataset: data.Dataset
  devices: parallel.Devices
  trainer: training.Trainer
  sampler: data.Sampler
  seeds: tuple[int, ...]
  seeds_mode: str | None
  keys: training.Keys
  train_data: training.TrainData
  on_host: bool
  test_data: evaluation.TestData
  num_steps: int

  def initial_state(self) -> training.TrainState:
    """The state before the first step."""
    return _for_seeds(self.seeds, self._initial_state)

  def initial_progress(self) -> training.Progress:
    """The training before its first step, for one device."""
    # Only shapes count, and the seeds' are the same: one trace of a step for all of them.
    positions = [
        jax.ShapeDtypeStruct((size,), jnp.int32)
        for size in (self.sampler.num_labeled, self.sampler.num_unlabeled)
    ]
    data_ = training.TrainData(self.dataset.train_images, self.dataset.train_labels, *positions)
    state = jax.eval_shape(lambda: self._initial_state(self.seeds[0]))
    sums = training.zero_sums(self.trainer, self.sampler, state, data_)
    return training.Progress(self.initial_state(), _for_seeds(self.seeds, lambda seed: sums))

  def _initial_state(self, seed: int) -> training.TrainState:
    trainer, shape = self.trainer, self.dataset.train_images.shape[1:]
    key = training.keys_from_seed(seed).init
    state = training.create_state(
        trainer.network,
        trainer.optimizer,
        key,
        shape,
        trainer.objective,
        len(self.dataset.train_images),
    )
    training.check_axis(trainer.network, state, trainer.axis_name)
    return state


def _for_seeds(seeds: Sequence[int], make: Callable[[int], Any]) -> Any:
  """What is made for one seed; for several, along a leading axis."""
  trees = [make(seed) for seed in seeds]
  return trees[0] if len(trees) == 1 else seeds_lib.stack(trees)


def load_dataset(config: ConfigDict) -> data.Dataset:
  """The data set of a configuration, its training images as they are without a corruption."""
  return data.load(config.data.name, config.data.data_dir, **data_options(config))


def build(config: ConfigDict) -> Setup:
  """Builds an experiment.

  Args:
    config: validated.

  Raises:
    UserError: if the data set is absent, or the configuration does not fit it.
  """
  config = resolve(config)
  # What can fail without the data fails before they are read.
  objective = objectives.create(config.objective.name, **chosen_options(config.objective))
  options = chosen_options(config.network)
  matmul_precision, dtype = precision.get(config.precision)
  networks.create(config.network.name, num_classes=2, dtype=dtype, **options)
  if config.data.placement == 'host' and config.num_seeds > 1:
    raise UserError(
        'data.placement: host streams the batches of one run; allowed: device, or num_seeds=1'
    )
  devices = parallel.devices(config.num_devices)
  labeled_per_batch, unlabeled_per_batch = parallel.shares(
      config.batch_size, config.labeled_fraction
  )
  parallel.check_batch(config.batch_size, config.labeled_fraction, devices.count)

  dataset = load_dataset(config)
  images = data.corrupt(
      dataset.train_images, config.data.corruption, config.data.corruption_level, config.seed
  )
  dataset = dataset._replace(train_images=images)
  seeds = tuple(range(config.seed, config.seed + config.num_seeds))
  split = _for_seeds(
      seeds,
      lambda seed: data.split(
          dataset.train_labels,
          config.data.num_labeled,
          seed,
          config.data.unlabeled,
          dataset.class_names,
      ),
  )
  sampler = data.Sampler(
      split.labeled.shape[-1], split.unlabeled.shape[-1], labeled_per_batch, unlabeled_per_batch
  )
  num_steps = config.num_steps or config.num_epochs * sampler.steps_per_epoch
  schedule = training.piecewise_schedule(
      config.learning_rate,
      num_steps,
      config.decay_epochs,
      config.decay_reference_epochs,
      config.decay_factor,
  )
  network = networks.create(
      config.network.name, len(dataset.class_names), devices.axis_name, dtype, **options
  )
  optimizer = optax.adam(schedule)
  train_data = training.TrainData(
      dataset.train_images, dataset.train_labels, split.labeled, split.unlabeled
  )
  on_host = config.data.placement == 'host'
  setup = Setup(
      dataset,
      devices,
      training.Trainer(
          network,
          objective,
          optimizer,
          devices.axis_name,
          matmul_precision,
          config.rematerialize,
          num_steps,
          augmentation.create(config.augmentation.weak),
          augmentation.create(config.augmentation.strong),
      ),
      sampler,
      seeds,
      None if len(seeds) == 1 else config.seeds_mode or seeds_lib.DEFAULT_MODE,
      _for_seeds(seeds, training.keys_from_seed),
      train_data if on_host else devices.replicate(train_data),
      on_host,
      evaluation.spread(
          evaluation.batch_up(dataset.test_images, dataset.test_labels, config.eval_batch_size),
          devices,
      ),
      num_steps,
  )
  _check_layers(config, setup)
  return setup


def _check_layers(config: ConfigDict, setup: Setup) -> None:
  """Raises a `UserError` where the objective's layers or their weights are not the network's."""
  layers, weights = config.objective.layers, config.objective.layer_weights
  if not layers and not weights:
    return
  state = jax.eval_shape(setup.initial_state)
  depth = setup.trainer.network.bind(state.variables()).num_layers()
  if layers and max(layers) >= depth:
    raise UserError(f'objective.layers: {layers}; allowed: 0 to {depth - 1}')
  count = len(layers or range(depth))
  if weights and len(weights) != count:
    raise UserError(
        f'objective.layer_weights: {len(weights)} weights; allowed: {count}, one a layer'
    )
