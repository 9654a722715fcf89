"""From a configuration to the objects that train it."""

from typing import Any, NamedTuple

import jax
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
from multiscale_inversion.data import augmentation
from multiscale_inversion.errors import UserError
from multiscale_inversion.execution import DEFAULT_MODE, Execution
from multiscale_inversion.runs.config import chosen_options, data_options, resolve


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
    test_data: the test set, shared out among the devices.
  """

  dataset: data.Dataset
  training_step: training.TrainingStep
  sampler: data.Sampler
  execution: Execution
  keys: training.Keys
  train_data: training.TrainData
  on_host: bool
  test_data: evaluation.TestData

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
    state = training.create_state(
        step.network,
        step.optimizer,
        training.keys_from_seed(seed).init,
        self._image_shape(),
        step.objective,
        len(self.dataset.train_images),
    )
    training.check_axis(step.network, state, self.execution.devices.axis_name)
    return state


def load_dataset(config: ConfigDict) -> data.Dataset:
  """Load the data set of a configuration, without the corruption of its training images."""
  return data.load(config.data.name, config.data.data_dir, **data_options(config))


def build(config: ConfigDict) -> Setup:
  """Build an experiment.

  Args:
    config: a validated configuration.

  Raises:
    UserError: if the data set is absent, or the configuration does not fit it.
  """
  config = resolve(config)
  # Whatever can fail without the data fails before they are read.
  objective = objectives.create(config.objective.name, **chosen_options(config.objective))
  _create_network(config, num_classes=2, axis_name=None)
  on_host = config.data.placement == 'host'
  if on_host and config.num_seeds > 1:
    raise UserError(
        'data.placement: host streams the batches of one run; allowed: device, or num_seeds=1'
    )
  execution = Execution(
      parallel.devices(config.num_devices),
      tuple(range(config.seed, config.seed + config.num_seeds)),
      config.seeds_mode or DEFAULT_MODE,
  )
  parallel.check_batch(config.batch_size, config.labeled_fraction, execution.devices.count)

  dataset = load_dataset(config)
  images = data.corrupt(
      dataset.train_images, config.data.corruption, config.data.corruption_level, config.seed
  )
  dataset = dataset._replace(train_images=images)
  split = _split(config, dataset, execution)
  sampler = data.Sampler(
      split.labeled.shape[-1],
      split.unlabeled.shape[-1],
      *parallel.shares(config.batch_size, config.labeled_fraction),
  )
  network = _create_network(config, len(dataset.class_names), execution.devices.axis_name)
  setup = Setup(
      dataset,
      _training_step(config, network, objective, sampler.steps_per_epoch),
      sampler,
      execution,
      execution.for_each_seed(training.keys_from_seed),
      training.TrainData(
          dataset.train_images, dataset.train_labels, split.labeled, split.unlabeled
      ),
      on_host,
      evaluation.batch_up(
          dataset.test_images, dataset.test_labels, config.eval_batch_size, execution.devices
      ),
  )
  _check_layers(config, setup)
  return setup


def _create_network(config: ConfigDict, num_classes: int, axis_name: str | None) -> Any:
  _, dtype = precision.get(config.precision)
  options = chosen_options(config.network)
  return networks.create(config.network.name, num_classes, axis_name, dtype, **options)


def _split(config: ConfigDict, dataset: data.Dataset, execution: Execution) -> data.Split:
  """Split each seed's labels; with several seeds, positions have a leading axis of seeds."""
  return execution.for_each_seed(
      lambda seed: data.split(
          dataset.train_labels,
          config.data.num_labeled,
          seed,
          config.data.unlabeled,
          dataset.class_names,
      )
  )


def _training_step(
    config: ConfigDict, network: Any, objective: objectives.Objective, steps_per_epoch: int
) -> training.TrainingStep:
  num_steps = config.num_steps or config.num_epochs * steps_per_epoch
  schedule = training.piecewise_schedule(
      config.learning_rate,
      num_steps,
      config.decay_epochs,
      config.decay_reference_epochs,
      config.decay_factor,
  )
  return training.TrainingStep(
      network,
      objective,
      optax.adam(schedule),
      precision.get(config.precision)[0],
      config.rematerialize,
      num_steps,
      augmentation.create(config.augmentation.weak),
      augmentation.create(config.augmentation.strong),
  )


def _check_layers(config: ConfigDict, setup: Setup) -> None:
  """Raise a `UserError` unless the objective's layers and their weights are the network's."""
  layers, weights = config.objective.layers, config.objective.layer_weights
  if not layers and not weights:
    return
  state = jax.eval_shape(setup.initial_state)
  depth = setup.training_step.network.bind(state.variables()).num_layers()
  if layers and max(layers) >= depth:
    raise UserError(f'objective.layers: {layers}; allowed: 0 to {depth - 1}')
  count = len(layers or range(depth))
  if weights and len(weights) != count:
    raise UserError(
        f'objective.layer_weights: {len(weights)} weights; allowed: {count}, one for each layer'
    )
