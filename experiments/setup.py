"""From a configuration to the objects that train it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from experiments.validation import chosen_options
from multiscale_inversion import data, evaluation, networks, objectives, training
from multiscale_inversion.errors import UserError


class Setup(NamedTuple):
  """An experiment, ready to start.

  Attributes:
    dataset: the data set, on the host.
    trainer: network, objective, optimizer.
    sampler: which images a step takes.
    keys: the run's random keys.
    train_data, test_data: on the device.
    num_steps: of the whole training.
  """

  dataset: data.Dataset
  trainer: training.Trainer
  sampler: data.Sampler
  keys: training.Keys
  train_data: training.TrainData
  test_data: evaluation.TestData
  num_steps: int

  def initial_state(self) -> training.TrainState:
    """The state before the first step."""
    trainer = self.trainer
    shape = self.dataset.train_images.shape[1:]
    return training.create_state(trainer.network, trainer.optimizer, self.keys.init, shape)


def build(config: ConfigDict) -> Setup:
  """Builds an experiment.

  Args:
    config: validated.

  Raises:
    UserError: if the data set is absent, or the configuration does not fit it.
  """
  # What can fail without the data fails before they are read.
  objective = objectives.create(config.objective.name, **chosen_options(config.objective))
  options = chosen_options(config.network)
  networks.create(config.network.name, num_classes=2, **options)

  dataset = data.load(config.data.name, config.data.data_dir)
  split = data.split(
      dataset.train_labels, config.data.num_labeled, config.seed, config.data.unlabeled
  )
  labeled_per_batch = round(config.batch_size * config.labeled_fraction)
  sampler = data.Sampler(
      len(split.labeled),
      len(split.unlabeled),
      labeled_per_batch,
      config.batch_size - labeled_per_batch,
  )
  num_steps = config.num_steps or config.num_epochs * sampler.steps_per_epoch
  schedule = training.piecewise_schedule(
      config.learning_rate,
      num_steps,
      config.decay_epochs,
      config.decay_reference_epochs,
      config.decay_factor,
  )
  network = networks.create(config.network.name, num_classes=len(dataset.class_names), **options)
  setup = Setup(
      dataset,
      training.Trainer(network, objective, optax.adam(schedule)),
      sampler,
      training.keys_from_seed(config.seed),
      training.TrainData(
          *map(
              jnp.asarray,
              (dataset.train_images, dataset.train_labels, split.labeled, split.unlabeled),
          )
      ),
      evaluation.batch_up(dataset.test_images, dataset.test_labels, config.eval_batch_size),
      num_steps,
  )
  _check_layers(config, setup)
  return setup


def _check_layers(config: ConfigDict, setup: Setup) -> None:
  """Raises a `UserError` where the objective names a layer that the network lacks."""
  state = jax.eval_shape(setup.initial_state)
  depth = setup.trainer.network.bind(state.variables()).num_layers()
  if config.objective.layers and max(config.objective.layers) >= depth:
    raise UserError(f'objective.layers: {config.objective.layers}; allowed: 0 to {depth - 1}')
