"""What training changes, and its state before the first step."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import optax

from multiscale_inversion import metrics
from multiscale_inversion.errors import UserError
from multiscale_inversion.networks.base import Network
from multiscale_inversion.objectives import InitialContext, Objective
from multiscale_inversion.objectives.context import Variables
from multiscale_inversion.training import initial

Metrics = dict[str, metrics.Mean]

_COLLECTIONS = ('params', 'batch_stats')  # the network's variables that a train state holds


class TrainState(NamedTuple):
  """Everything that a training step changes.

  Attributes:
    step: number of steps done, an int32 scalar.
    params: the network's parameters.
    batch_stats: the network's running statistics; `{}` if it has none.
    opt_state: the optimizer's state.
    memory: what the objective's terms remember, see `objectives.ContextTerm`; `{}` if nothing.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: optax.OptState
  memory: Any

  def variables(self) -> Variables:
    """Return the network's variables, as its `apply` and `stages` take them."""
    return {'params': self.params, 'batch_stats': self.batch_stats}


class LoopState(NamedTuple):
  """What the training loop carries from step to step, and a checkpoint holds.

  Attributes:
    state: the train state.
    sums: the steps' metrics, summed since the last record.
  """

  state: TrainState
  sums: Metrics


class Keys(NamedTuple):
  """Random keys of one run, one for each purpose; all are functions of its seed."""

  init: jax.Array
  sampling: jax.Array
  dropout: jax.Array


def keys_from_seed(seed: int) -> Keys:
  """Derive a run's keys from its seed."""
  key = jax.random.key(seed)
  return Keys(*(jax.random.fold_in(key, index) for index in range(len(Keys._fields))))


def create_state(
    network: Network,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    image_shape: Sequence[int],
    objective: Objective | None = None,
    num_train: int = 0,
    num_unlabeled: int = 0,
    given: Mapping[str, Any] | None = None,
) -> TrainState:
  """Initialize the network, the optimizer and the objective's memory.

  Args:
    network: the network.
    optimizer: the optimizer.
    key: random key of the initialization.
    image_shape: of one observation, such as (H, W, C).
    objective: what will be minimized; needed if it has a memory.
    num_train: size of the training set; needed if the objective remembers observations.
    num_unlabeled: size of the unlabeled set; needed if the objective counts its observations.
    given: variables in place of random ones, see `initial.checked`.

  Raises:
    UserError: if the network has variables other than parameters and batch statistics, its last
      activation is not one logit for each class, or its batch norm ignores its `axis_name`; if the
      variables that the objective averages are not the network's; if the given variables do not
      fit.
  """
  sample = jnp.zeros((1, *image_shape), jnp.float32)
  variables = jax.jit(network.init)(key, sample)
  _check_network(network, variables, sample)
  params, batch_stats = (variables.get(name, {}) for name in _COLLECTIONS)
  variables = {'params': params, 'batch_stats': batch_stats}
  if given is not None:
    variables = initial.checked(given, variables)
    params, batch_stats = variables['params'], variables['batch_stats']
  memory = {}
  if objective is not None:
    num_layers = network.bind(variables).num_layers()
    memory = objective.init(
        InitialContext(variables, num_train, network.num_classes, num_layers, num_unlabeled)
    )
    objective.averaged(memory, variables)  # refused now, not after an epoch
  opt_state = optimizer.init(variables['params'])
  return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, opt_state, memory)


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
        f'(1, {network.num_classes}), a logit for each class'
    )
  if network.ignores_axis(held, sample):
    raise UserError(
        'num_devices: the network has batch statistics that are not taken over its axis_name; '
        'allowed: 1, or batch norm with axis_name=self.axis_name'
    )


def check_axis(network: Network, state: TrainState, axis_name: str | None) -> None:
  """Check that batch statistics are taken over all devices.

  Args:
    network: the network.
    state: its state.
    axis_name: the mapped axis of the devices; None for a single device.

  Raises:
    UserError: if the network has batch statistics and was made for another axis: each device would
      have its own, and only one device's would be kept.
  """
  if axis_name is not None and state.batch_stats and network.axis_name != axis_name:
    raise UserError(
        f'num_devices: the network has batch statistics, and axis_name={network.axis_name!r}; '
        f'allowed: {axis_name!r}'
    )
