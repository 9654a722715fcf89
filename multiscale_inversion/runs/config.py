"""Checks of a configuration before anything is built from it."""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from multiscale_inversion import data, execution, losses, networks, objectives, precision, recipes
from multiscale_inversion.data import augmentation, corruption
from multiscale_inversion.data.sources import images
from multiscale_inversion.data.splits import UNLABELED
from multiscale_inversion.errors import HUGE, UserError, in_choices, in_range
from multiscale_inversion.runs import defaults, kinds


def _epochs(key: str, value: Any) -> None:
  whole = all(isinstance(v, int) and v > 0 for v in value)
  if not whole or list(value) != sorted({*value}):
    raise UserError(f'{key}: {value!r}; allowed: a tuple of ascending whole epochs from 1 on')


_positive = in_range(1, HUGE)
MAX_SEEDS = 1000  # of one program

_CHECKS: dict[str, Callable[[str, Any], None]] = {
    'data.name': lambda key, value: data.defaults(value),
    'data.num_labeled': _positive,
    'data.unlabeled': in_choices(lambda: UNLABELED),
    'data.corruption': in_choices(lambda: corruption.NAMES),
    'data.corruption_level': in_range(0, HUGE),
    'data.placement': in_choices(lambda: ('device', 'host')),
    'data.image_size': _positive,
    'data.channels': in_choices(lambda: images.CHANNELS),
    'data.test_fraction': in_range(1e-6, 1, open_end=True),
    'data.max_megapixels': in_range(1e-6, HUGE),
    'network.name': lambda key, value: networks.constructor(value),
    **{f'network.{option}': check for option, check in networks.OPTION_CHECKS.items()},
    'augmentation.weak': in_choices(augmentation.names),
    'augmentation.strong': in_choices(augmentation.names),
    'objective.name': lambda key, value: objectives.check_name(value),
    'objective.alpha': in_range(0, 1),
    'objective.beta': in_range(0, 1),
    'objective.reduction': in_choices(lambda: objectives.REDUCTIONS),
    'objective.unlabeled': in_choices(lambda: objectives.UNLABELED_LOSSES),
    'objective.layers': objectives.check_layers,
    'objective.layer_weights': objectives.check_layer_weights,
    'objective.form': in_choices(lambda: losses.FORMS),
    'objective.rule': in_choices(lambda: objectives.RULES),
    'objective.rate': in_range(0, 1e6),
    'objective.power': in_range(0, 1e6),
    'objective.decay': in_range(0, 1, open_end=True),
    'objective.weight': in_range(0, 1e6),
    'objective.rampup': in_range(0, 1),
    'objective.ramp_start': in_range(0, 1),
    'objective.ramp_end': in_range(0, 1),
    'objective.threshold': in_range(0, 1),
    'objective.epsilon': in_range(0, 1e6),
    'objective.xi': in_range(1e-12, 1e6),
    'objective.num_iterations': in_range(0, 100),
    'recipe': in_choices(lambda: recipes.NAMES),
    'seed': in_range(0, HUGE),
    'num_seeds': in_range(1, MAX_SEEDS),
    'seeds_mode': in_choices(lambda: execution.MODES),
    'batch_size': in_range(2, HUGE),
    'labeled_fraction': in_range(0, 1),
    'num_epochs': _positive,
    'num_steps': _positive,
    'learning_rate': in_range(1e-12, 1e6),
    'decay_epochs': _epochs,
    'decay_reference_epochs': _positive,
    'decay_factor': in_range(1e-12, 1),
    'precision': in_choices(lambda: precision.NAMES),
    'num_devices': _positive,
    'eval_every_epochs': _positive,
    'eval_batch_size': _positive,
    'log_every_steps': _positive,
    'checkpoint_every_seconds': in_range(0, HUGE),
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
    check_key(key, known)
  for key in known:
    if key not in flat:
      raise UserError(f'{key}: missing from the configuration')
    if flat[key] is not None:
      kinds.check(flat[key], kinds.OF_TYPE[type_of(key)], key)
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


def type_of(key: str) -> type | None:
  """The type of a key of the defaults; None of another, and of a section."""
  section, _, name = key.rpartition('.')
  config = defaults.get_config()
  for part in filter(None, section.split('.')):
    config = config.get(part) if isinstance(config, ConfigDict) else None
  if not isinstance(config, ConfigDict) or name not in config:
    return None
  found = config.get_type(name)
  return None if issubclass(found, ConfigDict) else found


def check_key(key: str, known: Mapping[str, Any]) -> None:
  """Checks that a key is one that takes a value.

  Args:
    key: dotted.
    known: the keys that there are.

  Raises:
    UserError: for an unknown key, and for a section.
  """
  if key in known:
    return
  inside = sorted(k for k in known if k.startswith(f'{key}.'))
  if inside:
    raise UserError(f'{key}: a section, not a value; allowed: {", ".join(inside)}')
  raise UserError(unknown_key(key))


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
  own = ('image_size', 'channels', 'test_fraction', 'max_megapixels')
  return {key: config.data[key] for key in own if config.data[key] is not None}


def resolve(config: ConfigDict, known_only: bool = False) -> ConfigDict:
  """Returns the configuration with the defaults of its data set, network and objective filled in.

  Those that its recipe changes are the recipe's.

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
    for name, defaults_of in (
        ('data', data.defaults),
        ('network', networks.defaults),
        ('objective', objectives.defaults),
    ):
      section, recipe = config[name], recipes.defaults(config.recipe, name)
      try:
        options = defaults_of(section.name)
      except UserError:
        if not known_only:
          raise
        continue
      for key, value in section.items():
        if value is None and key in options:
          section[key] = recipe.get(key, options[key])
  return config
