"""Build the objects that train a configuration."""

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
from multiscale_inversion.errors import UserError, check_options, named_as_keys
from multiscale_inversion.runs.config import chosen_options, resolve
from multiscale_inversion.runs.defaults import SECTIONS


class Setup(NamedTuple):
  """An experiment, ready to start.

  Attributes:
    dataset: the data set, on the host.
    devices: the devices that it runs on.
    trainer: network, objective, optimizer.
    sampler: the positions of the images of each step.
    seeds: the runs' seeds.
    seeds_mode: how several runs share a program; None for a single one.
    keys: the runs' random keys; of several runs, with a leading axis of seeds.
    train_data: training data on each device or on the host; positions have the axis of seeds, too.
    on_host: whether training data stay on the host and are streamed.
    test_data: test data on each device.
    num_steps: number of steps of the whole training.
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
    """Return the state before the first step."""
    return _for_seeds(self.seeds, self._initial_state)

  def initial_progress(self) -> training.Progress:
    """Return the training before its first step, for one device."""
    # Only shapes count, and all seeds have the same ones: one trace of a step serves all.
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
    with named_as_keys('network'):
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
  """Return what `make` returns for one seed, or for several seeds along a leading axis."""
  trees = [make(seed) for seed in seeds]
  return trees[0] if len(trees) == 1 else seeds_lib.stack(trees)


def load_dataset(config: ConfigDict) -> data.Dataset:
  """Return the data set of a configuration, its training images without a corruption."""
  options = chosen_options(config.data, SECTIONS['data'].fixed())
  with named_as_keys('data'):
    return data.load(config.data.name, config.data.data_dir, **options)


def create_network(
    config: ConfigDict, num_classes: int, axis_name: str | None = None
) -> networks.Network:
  """Return the network of a configuration, which computes in its precision."""
  dtype = precision.get(config.precision).dtype
  with named_as_keys('network', dtype='precision'):
    options = chosen_options(config.network)
    return networks.create(config.network.name, num_classes, axis_name, dtype, **options)


def create_objective(config: ConfigDict) -> objectives.Objective:
  """Return the objective of a configuration."""
  with named_as_keys('objective'):
    return objectives.create(config.objective.name, **chosen_options(config.objective))


def create_augmentations(
    config: ConfigDict,
) -> tuple[augmentation.Augmentation, augmentation.Augmentation]:
  """Return the weak and the strong augmentation of a configuration.

  Each gets those of the section's options that it takes.

  Raises:
    UserError: for an option that neither takes.
  """
  section = config.augmentation
  options = chosen_options(section, SECTIONS['augmentation'].fixed())
  names = (section.weak, section.strong)
  with named_as_keys('augmentation'):
    taken = [augmentation.options(name) for name in names]
    check_options(' or '.join(dict.fromkeys(names)), options, taken[0] | taken[1])
    weak, strong = (
        augmentation.create(name, **{k: v for k, v in options.items() if k in known})
        for name, known in zip(names, taken, strict=True)
    )
  return weak, strong


def _load_corrupted(config: ConfigDict) -> data.Dataset:
  """Return the data set of a configuration, its training images corrupted."""
  dataset, section = load_dataset(config), config.data
  with named_as_keys(name='data.corruption', level='data.corruption_level'):
    images = data.corrupt(
        dataset.train_images, section.corruption, section.corruption_level, config.seed
    )
  return dataset._replace(train_images=images)


def _split(config: ConfigDict, dataset: data.Dataset, seeds: Sequence[int]) -> data.Split:
  """Return which images are labeled and unlabeled, of several seeds along a leading axis."""
  section = config.data
  with named_as_keys('data', seed='seed'):
    return _for_seeds(
        seeds,
        lambda seed: data.split(
            dataset.train_labels, section.num_labeled, seed, section.unlabeled, dataset.class_names
        ),
    )


def _sampler(config: ConfigDict, split: data.Split) -> data.Sampler:
  """Return the sampler of the batches that a configuration asks for."""
  shares = parallel.shares(config.batch_size, config.labeled_fraction)
  with named_as_keys(num_labeled='data.num_labeled', unlabeled='data.unlabeled'):
    return data.Sampler(split.labeled.shape[-1], split.unlabeled.shape[-1], *shares)


def build(config: ConfigDict) -> Setup:
  """Build an experiment.

  Args:
    config: validated.

  Raises:
    UserError: if the data set is absent, or the configuration does not fit it.
  """
  config = resolve(config)
  # What can fail without the data fails before they are read.
  objective, augmentations = create_objective(config), create_augmentations(config)
  create_network(config, num_classes=2)
  on_host = config.data.placement == 'host'
  if on_host and config.num_seeds > 1:
    raise UserError(
        'host streams the batches of one run; allowed: device, or num_seeds=1', 'data.placement'
    )
  devices = parallel.devices(config.num_devices)
  parallel.check_batch(config.batch_size, config.labeled_fraction, devices.count)

  dataset = _load_corrupted(config)
  seeds = tuple(range(config.seed, config.seed + config.num_seeds))
  split = _split(config, dataset, seeds)
  sampler = _sampler(config, split)
  num_steps = config.num_steps or config.num_epochs * sampler.steps_per_epoch
  trainer = training.Trainer(
      create_network(config, len(dataset.class_names), devices.axis_name),
      objective,
      optax.adam(_schedule(config, num_steps)),
      devices.axis_name,
      precision.get(config.precision).matmul,
      config.rematerialize,
      num_steps,
      *augmentations,
  )
  train_data = training.TrainData(
      dataset.train_images, dataset.train_labels, split.labeled, split.unlabeled
  )
  setup = Setup(
      dataset,
      devices,
      trainer,
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


def _schedule(config: ConfigDict, num_steps: int) -> optax.Schedule:
  """Return the learning rate by the number of steps done."""
  return training.piecewise_schedule(
      config.learning_rate,
      num_steps,
      config.decay_epochs,
      config.decay_reference_epochs,
      config.decay_factor,
  )


def _check_layers(config: ConfigDict, setup: Setup) -> None:
  """Raise a `UserError` unless the network has the objective's layers, and each has a weight."""
  layers, weights = config.objective.layers, config.objective.layer_weights
  if not layers and not weights:
    return
  state = jax.eval_shape(setup.initial_state)
  depth = setup.trainer.network.bind(state.variables()).num_layers()
  if layers and max(layers) >= depth:
    raise UserError(f'{layers}; allowed: 0 to {depth - 1}', 'objective.layers')
  count = len(layers or range(depth))
  if weights and len(weights) != count:
    raise UserError(
        f'{len(weights)} weights; allowed: {count}, one a layer', 'objective.layer_weights'
    )
