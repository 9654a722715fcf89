"""Build the objects that train a configuration."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from multiscale_inversion import (
  data,
  evaluation,
  loading,
  networks,
  objectives,
  parallel,
  precision,
  training,
)
from multiscale_inversion.data import augmentation
from multiscale_inversion.data.dataset import check
from multiscale_inversion.errors import UserError, check_options, named_as_keys
from multiscale_inversion.execution import DEFAULT_MODE, Execution
from multiscale_inversion.objectives.baselines.averaged_weights import with_averaged_weights
from multiscale_inversion.runs.config import chosen_options, resolve
from multiscale_inversion.runs.defaults import SECTIONS
from multiscale_inversion.training import optimizers, schedules


class Setup(NamedTuple):
  """An experiment, ready to start.

  Attributes:
    dataset: the data set, in the host's memory.
    training_step: one step: network, objective, optimizer.
    sampler: which images a step takes.
    execution: the devices, and the seeds of the runs.
    keys: the runs' random keys; with several seeds, these have a leading axis of seeds.
    train_data: the training set in the host's memory; its positions have that axis, too.
    on_host: whether training data stay in the host's memory, and are streamed.
    test_data: the test set, shared out among the devices; None without test images.
    validation_data: likewise.
    schedule: the learning rate by the number of steps done.
    initial_variables: those that the training starts from; None for random ones.
  """

  dataset: data.Dataset
  training_step: training.TrainingStep
  sampler: data.Sampler
  execution: Execution
  keys: training.Keys
  train_data: training.TrainData
  on_host: bool
  test_data: evaluation.EvaluationData | None
  validation_data: evaluation.EvaluationData | None
  schedule: optax.Schedule
  initial_variables: Mapping[str, Any] | None

  def initial_state(self) -> training.TrainState:
    """Return the state before the first step, on one device."""
    return self.execution.for_each_seed(self._initial_state)

  def initial_loop_state(self) -> training.LoopState:
    """Return what the loop begins with, on one device."""
    # The seeds' shapes are the same: the step is traced once for all of them.
    shapes = jax.eval_shape(lambda: self._initial_state(self.execution.seeds[0]))
    batch_size = self.sampler.labeled_per_batch + self.sampler.unlabeled_per_batch
    sums = self.training_step.zero_sums(shapes, batch_size, self._image_shape())
    return self.execution.for_each_seed(
        lambda seed: training.LoopState(self._initial_state(seed), sums)
    )

  def make_loop(self) -> training.TrainingLoop:
    """Return the training loop, its steps not compiled yet."""
    kind = training.StreamedLoop if self.on_host else training.ResidentLoop
    return kind(self.training_step, self.sampler, self.train_data, self.keys, self.execution)

  def _image_shape(self) -> tuple[int, ...]:
    return self.dataset.train_images.shape[1:]

  def _initial_state(self, seed: int) -> training.TrainState:
    step = self.training_step
    with named_as_keys('network'):
      state = training.create_state(
          step.network,
          step.optimizer,
          training.keys_from_seed(seed).init,
          self._image_shape(),
          step.objective,
          len(self.dataset.train_images),
          self.sampler.num_unlabeled,
          self.initial_variables,
      )
    training.check_axis(step.network, state, self.execution.devices.axis_name)
    return state


def load_dataset(config: ConfigDict) -> data.Dataset:
  """Load the data set of a configuration, without the corruption of its training images."""
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
    made = objectives.create(config.objective.name, **chosen_options(config.objective))
  with named_as_keys('optimizer'):
    return with_averaged_weights(made, config.optimizer.average_decay)


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


def load_corrupted(config: ConfigDict, given: data.Dataset | None) -> data.Dataset:
  """Return the data set, given or loaded: training images are corrupted, or held out."""
  section = config.data
  dataset = load_dataset(config) if given is None else check(section.name, given)
  with named_as_keys('data'):
    dataset = data.hold_out(dataset, section.num_validation)
  if section.corruption != 'none' and dataset.train_images.dtype != np.uint8:
    raise UserError(
        f'{section.corruption} of {dataset.train_images.dtype}; allowed: none, or uint8 images',
        'data.corruption',
    )
  with named_as_keys(name='data.corruption', level='data.corruption_level'):
    images = data.corrupt(
        dataset.train_images, section.corruption, section.corruption_level, config.seed
    )
  return dataset._replace(train_images=images)


def _split(config: ConfigDict, dataset: data.Dataset, execution: Execution) -> data.Split:
  """Split each seed's labels; with several seeds, positions have a leading axis of seeds."""
  section = config.data
  with named_as_keys('data', seed='seed'):
    return execution.for_each_seed(
        lambda seed: data.split(
            dataset.train_labels,
            section.num_labeled,
            seed,
            section.unlabeled,
            dataset.class_names,
            section.proportions,
            section.labels_per_class,
        )
    )


def _sampler(split: data.Split, shares: tuple[int, int]) -> data.Sampler:
  """Return the sampler of batches with these numbers of labeled and unlabeled images."""
  with named_as_keys(num_labeled='data.num_labeled', unlabeled='data.unlabeled'):
    return data.Sampler(split.labeled.shape[-1], split.unlabeled.shape[-1], *shares)


def build(
    config: ConfigDict,
    dataset: data.Dataset | None = None,
    shares: tuple[int, int] | None = None,
    given_variables: Mapping[str, Any] | None = None,
) -> Setup:
  """Build an experiment.

  Args:
    config: a validated configuration.
    dataset: the data set; loaded unless given.
    shares: the numbers of labeled and of unlabeled images in a batch, of a run that goes on; unless
      given, those of the configuration, each rounded up to a multiple of the number of devices.
    given_variables: those that the training starts from; unless given, those of `init_from`.

  Raises:
    UserError: if the data set is absent, or the configuration does not fit it.
  """
  config = resolve(config)
  # Whatever can fail without the data fails before they are read.
  objective, augmentations = create_objective(config), create_augmentations(config)
  create_network(config, num_classes=2)
  on_host = config.data.placement == 'host'
  if on_host and config.num_seeds > 1:
    raise UserError(
        'host streams the batches of one run; allowed: device, or num_seeds=1', 'data.placement'
    )
  execution = Execution(
      parallel.devices(config.num_devices),
      tuple(range(config.seed, config.seed + config.num_seeds)),
      config.seeds_mode or DEFAULT_MODE,
  )
  count = execution.devices.count
  shares = shares or parallel.shares(config.batch_size, config.labeled_fraction, count)
  parallel.check_shares(*shares, count)

  dataset = load_corrupted(config, dataset)
  _check_validation(config, dataset)
  split = _split(config, dataset, execution)
  sampler = _sampler(split, shares)
  network = create_network(config, len(dataset.class_names), execution.devices.axis_name)
  num_steps = config.num_steps or config.num_epochs * sampler.steps_per_epoch
  schedule = create_schedule(config, num_steps)
  setup = Setup(
      dataset,
      training.TrainingStep(
          network,
          objective,
          create_optimizer(config, schedule),
          precision.get(config.precision).matmul,
          config.rematerialize,
          num_steps,
          *augmentations,
          config.dropout_generator,
      ),
      sampler,
      execution,
      execution.for_each_seed(training.keys_from_seed),
      training.TrainData(
          dataset.train_images, dataset.train_labels, split.labeled, split.unlabeled
      ),
      on_host,
      _batch_up(config, dataset.test_images, dataset.test_labels, execution),
      _batch_up(config, dataset.validation_images, dataset.validation_labels, execution),
      schedule,
      initial_variables(config, given_variables),
  )
  _check_layers(config, setup)
  return setup


def initial_variables(
    config: ConfigDict, given: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
  """Return the variables that a training starts from: given, or those that `init_from` names."""
  if given is not None or config.init_from is None:
    return given
  return loading.load(config.init_from).variables


def _check_validation(config: ConfigDict, dataset: data.Dataset) -> None:
  """Raise a `UserError` where an option needs validation images, and there are none."""
  for name in ('keep_best', 'patience'):
    if config[name] and not len(dataset.validation_labels):
      raise UserError(
          f'{config[name]} needs validation images; allowed: beside data.num_validation=N, or with '
          'a data set that has a validation part',
          name,
      )
  if config.patience and config.num_seeds > 1:
    raise UserError(f'{config.patience} with several seeds; allowed: num_seeds=1', 'patience')


def _batch_up(
    config: ConfigDict, images: np.ndarray, labels: np.ndarray, execution: Execution
) -> evaluation.EvaluationData | None:
  if not len(images):
    return None
  return evaluation.batch_up(images, labels, config.eval_batch_size, execution.devices)


def create_schedule(config: ConfigDict, num_steps: int) -> optax.Schedule:
  """Return a configuration's learning rate by the number of steps done, out of `num_steps`."""
  section = config.schedule
  decays = schedules.Decays(
      config.decay_epochs, config.decay_reference_epochs, config.decay_factor
  )
  with named_as_keys('schedule'):
    options = chosen_options(section, SECTIONS['schedule'].fixed())
    made = schedules.create(section.name, config.learning_rate, num_steps, decays, **options)
  made = schedules.with_ramps(made, num_steps, section.rampup, section.rampdown)
  return schedules.with_warmup(made, section.warmup_steps)


def create_optimizer(
    config: ConfigDict, schedule: optax.Schedule
) -> optax.GradientTransformation:
  """Return the optimizer of a configuration."""
  with named_as_keys('optimizer'):
    options = chosen_options(config.optimizer, ('average_decay',))
    return optimizers.create(schedule=schedule, **options)


def _check_layers(config: ConfigDict, setup: Setup) -> None:
  """Raise a `UserError` unless the objective's layers and their weights are the network's."""
  layers, weights = config.objective.layers, config.objective.layer_weights
  if not layers and not weights:
    return
  state = jax.eval_shape(setup.initial_state)
  depth = setup.training_step.network.bind(state.variables()).num_layers()
  if layers and max(layers) >= depth:
    raise UserError(f'{layers}; allowed: 0 to {depth - 1}', 'objective.layers')
  count = len(layers or range(depth))
  if weights and len(weights) != count:
    raise UserError(
        f'{len(weights)} weights; allowed: {count}, one for each layer', 'objective.layer_weights'
    )
