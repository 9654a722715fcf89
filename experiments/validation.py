"""Checks of a configuration before anything is built from it."""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments import defaults
from multiscale_inversion import data, losses, networks, objectives, precision, seeds
from multiscale_inversion.data import augmentation, corruption, images
from multiscale_inversion.data.splits import UNLABELED
from multiscale_inversion.errors import UserError, check_choice, check_range
from multiscale_inversion.networks import layers, normalization

_HUGE = 2**31 - 1


def _choice(names: Callable[[], Any]) -> Callable[[str, Any], None]:
  return lambda key, value: check_choice(key, value, names())


def _range(low: float, high: float, *, open_end: bool = False) -> Callable[[str, Any], None]:
  return lambda key, value: check_range(key, value, low, high, open_end=open_end)


def _layers(key: str, value: Any) -> None:
  if not value or any(not isinstance(v, int) or v < 0 for v in value) or len({*value}) < len(value):
    raise UserError(f'{key}: {value!r}; allowed: a tuple of different layers, as (0, 3)')


def _layer_weights(key: str, value: Any) -> None:
  if not value or any(not isinstance(v, int | float) or v < 0 for v in value):
    raise UserError(f'{key}: {value!r}; allowed: a tuple of numbers from 0 up, as (1.0, 0.5)')


def _epochs(key: str, value: Any) -> None:
  whole = all(isinstance(v, int) and v > 0 for v in value)
  if not whole or list(value) != sorted({*value}):
    raise UserError(f'{key}: {value!r}; allowed: a tuple of ascending whole epochs from 1 on')


_positive = _range(1, _HUGE)

_CHECKS: dict[str, Callable[[str, Any], None]] = {
    'data.name': lambda key, value: data.defaults(value),
    'data.num_labeled': _positive,
    'data.unlabeled': _choice(lambda: UNLABELED),
    'data.corruption': _choice(lambda: corruption.NAMES),
    'data.corruption_level': _range(0, _HUGE),
    'data.placement': _choice(lambda: ('device', 'host')),
    'data.image_size': _positive,
    'data.channels': _choice(lambda: images.CHANNELS),
    'data.test_fraction': _range(1e-6, 1, open_end=True),
    'network.name': lambda key, value: networks.constructor(value),
    'network.blocks_per_group': _positive,
    'network.depth': _positive,
    'network.width': _positive,
    'network.kernel_size': _positive,
    'network.num_heads': _positive,
    'network.patch_size': _positive,
    'network.activation': _choice(lambda: layers.ACTIVATIONS),
    'network.negative_slope': _range(0, 1),
    'network.pooling': _choice(lambda: layers.POOLINGS),
    'network.dropout_rate': _range(0, 1, open_end=True),
    'network.batch_norm_inverse': _choice(lambda: normalization.INVERSE_MODES),
    'network.batch_norm_momentum': _range(0, 1, open_end=True),
    'network.batch_norm_epsilon': _range(0, 1),
    'network.initializer': _choice(lambda: layers.INITIALIZERS),
    'augmentation.weak': _choice(augmentation.names),
    'augmentation.strong': _choice(augmentation.names),
    'objective.name': lambda key, value: objectives.check_name(value),
    'objective.alpha': _range(0, 1),
    'objective.beta': _range(0, 1),
    'objective.reduction': _choice(lambda: objectives.REDUCTIONS),
    'objective.unlabeled': _choice(lambda: objectives.UNLABELED),
    'objective.layers': _layers,
    'objective.layer_weights': _layer_weights,
    'objective.form': _choice(lambda: losses.FORMS),
    'objective.rule': _choice(lambda: objectives.RULES),
    'objective.rate': _range(0, 1e6),
    'objective.power': _range(0, 1e6),
    'objective.decay': _range(0, 1, open_end=True),
    'objective.weight': _range(0, 1e6),
    'objective.rampup': _range(0, 1),
    'objective.ramp_start': _range(0, 1),
    'objective.ramp_end': _range(0, 1),
    'objective.threshold': _range(0, 1),
    'objective.epsilon': _range(0, 1e6),
    'objective.xi': _range(1e-12, 1e6),
    'objective.num_iterations': _range(0, 100),
    'seed': _range(0, _HUGE),
    'num_seeds': _positive,
    'seeds_mode': _choice(lambda: seeds.MODES),
    'batch_size': _range(2, _HUGE),
    'labeled_fraction': _range(0, 1),
    'num_epochs': _positive,
    'num_steps': _positive,
    'learning_rate': _range(1e-12, 1e6),
    'decay_epochs': _epochs,
    'decay_reference_epochs': _positive,
    'decay_factor': _range(1e-12, 1),
    'precision': _choice(lambda: precision.NAMES),
    'num_devices': _positive,
    'eval_every_epochs': _positive,
    'eval_batch_size': _positive,
    'log_every_steps': _positive,
    'checkpoint_every_seconds': _range(0, _HUGE),
}


def flatten(config: ConfigDict) -> dict[str, Any]:
  """The configuration's values by their dotted keys."""
  flat = {}
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      flat |= {f'{key}.{inner}': v for inner, v in flatten(value).items()}
    else:
      flat[key] = value
  return flat


def validate(config: ConfigDict) -> None:
  """Checks every key and value that can be checked without the data.

  Raises:
    UserError: one line that names the key and what is allowed.
  """
  flat = flatten(config)
  known = flatten(defaults.get_config())
  for key in flat:
    if key not in known:
      raise UserError(unknown_key(key))
  for key in known:
    if key not in flat:
      raise UserError(f'{key}: missing from the configuration')
  for key, check in _CHECKS.items():
    if flat[key] is not None:
      check(key, flat[key])
    elif known[key] is not None:
      raise UserError(f'{key}: None; allowed: a value, as by default')
  corruption.check(config.data.corruption, config.data.corruption_level)
  if config.data.corruption != 'none' and config.num_seeds > 1:
    raise UserError(
        f'data.corruption: {config.data.corruption} is drawn for one seed; allowed: none, or '
        'num_seeds=1'
    )


def from_record(recorded: Mapping[str, Any]) -> ConfigDict:
  """The configuration of a finished run, from its summary; keys younger than the run by default."""
  config = defaults.get_config()
  with config.unlocked(), config.ignore_type():
    for key, value in flatten(ConfigDict(recorded)).items():
      section, _, name = key.rpartition('.')
      (config[section] if section else config)[name] = tuple(value) if _is_list(value) else value
  return config


def _is_list(value: Any) -> bool:
  return isinstance(value, list | tuple)


def unknown_key(key: str) -> str:
  """Says that a key does not exist, and which do beside it."""
  known = flatten(defaults.get_config())
  group = key.rpartition('.')[0]
  while group and not any(k.startswith(group + '.') for k in known):
    group = group.rpartition('.')[0]
  prefix = group + '.' if group else ''
  beside = sorted({k.removeprefix(prefix).split('.')[0] for k in known if k.startswith(prefix)})
  return f'{key}: unknown key; allowed{f" under {group}" if group else ""}: {", ".join(beside)}'


def chosen_options(config: ConfigDict) -> dict[str, Any]:
  """The options of a `network` or `objective` section that are set: all but its name and None."""
  return {k: v for k, v in config.items() if k != 'name' and v is not None}


def data_options(config: ConfigDict) -> dict[str, Any]:
  """The options of the `data` section that are the data set's own and are set."""
  own = ('image_size', 'channels', 'test_fraction')
  return {key: config.data[key] for key in own if config.data[key] is not None}


def resolve(config: ConfigDict, known_only: bool = False) -> ConfigDict:
  """Returns the configuration with the defaults of its data set, network and objective filled in.

  An option that the data set, the network or the objective does not take stays None.

  Args:
    config: a whole one.
    known_only: leave the options of a name that is not known as they are: a user's own file may
      have registered it.

  Raises:
    UserError: for a name that is not known, unless `known_only`.
  """
  config = config.copy_and_resolve_references()
  with config.unlocked():
    for section, defaults_of in (
        (config.data, data.defaults),
        (config.network, networks.defaults),
        (config.objective, objectives.defaults),
    ):
      try:
        options = defaults_of(section.name)
      except UserError:
        if not known_only:
          raise
        continue
      for key, value in section.items():
        if value is None and key in options:
          section[key] = options[key]
  return config
