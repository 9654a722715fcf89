"""Checks of a configuration before anything is built from it, and the defaults filled in."""

from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from multiscale_inversion import recipes
from multiscale_inversion.data import corruption
from multiscale_inversion.errors import UserError, named_as_keys, nearest
from multiscale_inversion.runs import defaults


def flatten(config: ConfigDict) -> dict[str, Any]:
  """Return the configuration's values by their dotted keys."""
  flat: dict[str, Any] = {}
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      flat |= {f'{key}.{inner}': v for inner, v in flatten(value).items()}
    else:
      flat[key] = value
  return flat


def validate(config: ConfigDict) -> None:
  """Check every key and value that can be checked without the data.

  Raises:
    UserError: one line that names the key and what is allowed.
  """
  flat, known = flatten(config), defaults.keys()
  for key in flat:
    check_key(key, known)
  for key, entry in known.items():
    if key not in flat:
      raise UserError('missing from the configuration', key)
    if entry.declared:
      entry.declared.check(flat[key], key)
    elif flat[key] is not None:
      _check_option(key, flat[key], entry, _chosen(config, key))
  with named_as_keys(name='data.corruption', level='data.corruption_level'):
    corruption.check(config.data.corruption, config.data.corruption_level)
  if config.data.corruption != 'none' and config.num_seeds > 1:
    raise UserError(
        f'{config.data.corruption} is drawn for one seed; allowed: none, or num_seeds=1',
        'data.corruption',
    )


def _chosen(config: ConfigDict, key: str) -> list[str]:
  """Return the constructors that a key's section names."""
  section = key.partition('.')[0]
  names = [config[section][name] for name in defaults.SECTIONS[section].names]
  return [part for name in names for part in name.split('+')]


def _check_option(key: str, value: Any, entry: defaults.Key, chosen: Collection[str]) -> None:
  """Check a value by the chosen constructors that take it; where none does, by any other one."""
  taking = [entry.options[name] for name in chosen if name in entry.options]
  for option in taking:
    option.check(value, key)
  errors = []
  for option in () if taking else entry.all():
    try:
      option.check(value, key)
    except UserError as error:
      errors.append(error)
    else:
      return
  if errors:
    raise errors[0]


def from_record(recorded: Mapping[str, Any]) -> ConfigDict:
  """Return the configuration of a finished run, from its summary.

  Keys that are younger than the run have their defaults.
  """
  config = defaults.get_config()
  with config.unlocked(), config.ignore_type():
    for key, value in flatten(ConfigDict(recorded)).items():
      section, _, name = key.rpartition('.')
      place = config[section] if section else config
      place[name] = tuple(value) if isinstance(value, list | tuple) else value
  return config


def check_key(key: str, known: Collection[str]) -> None:
  """Check that a key is one that takes a value.

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
    raise UserError(f'a section, not a value; allowed: {", ".join(inside)}', key)
  raise UserError(unknown_key(key))


def unknown_key(key: str) -> str:
  """Return the message for a key that does not exist: the nearest one, and those beside it."""
  known = defaults.keys()
  group = key.rpartition('.')[0]
  while group and not any(k.startswith(group + '.') for k in known):
    group = group.rpartition('.')[0]
  prefix = group + '.' if group else ''
  beside = sorted({k.removeprefix(prefix).split('.')[0] for k in known if k.startswith(prefix)})
  where = f' under {group}' if group else ''
  return f'{key}: unknown key{_nearest_key(key, prefix)}; allowed{where}: {", ".join(beside)}'


def _nearest_key(key: str, prefix: str) -> str:
  """Return `, nearest KEY` by the key's last part: of its own section, else a more alike one."""
  known = defaults.keys()
  if any(key.startswith(f'{k}.') for k in known):
    return ''  # below a value, where nothing is
  own = {k.removeprefix(prefix): k for k in known if k.startswith(prefix)}
  last = {k.rpartition('.')[2]: k for k in known}
  close = own.get(nearest(key.removeprefix(prefix), own) or '')
  close = close or last.get(nearest(key.rpartition('.')[2], last, 0.8) or '')
  close = close or nearest(key, known, 0.9)
  return f', nearest {close}' if close else ''


def chosen_options(section: ConfigDict, fixed: Collection[str] = ('name',)) -> dict[str, Any]:
  """Return the options of a section that are set.

  Args:
    section: `network`, `objective`, ... of a configuration.
    fixed: its keys that are no options.
  """
  return {k: v for k, v in section.items() if k not in fixed and v is not None}


def resolve(config: ConfigDict, known_only: bool = False) -> ConfigDict:
  """Return the configuration with the defaults of its constructors and its recipe filled in.

  An option that nothing chosen takes stays None, and so does one that the weak and the strong
  augmentation take with different defaults.

  Args:
    config: a whole one.
    known_only: leave the options of an unknown name as they are: a file that is not loaded may have
      registered it.

  Raises:
    UserError: for an unknown name, unless `known_only`.
  """
  config = config.copy_and_resolve_references()
  with config.unlocked():
    for name, section in defaults.SECTIONS.items():
      place, recipe = config[name], recipes.defaults(config.recipe, name)
      for key, values in _defaults(place, name, section, known_only).items():
        value = recipe.get(key, values[0])
        if key in place and place[key] is None and all(v == values[0] for v in values):
          place[key] = value
  return config


def _defaults(
    place: ConfigDict, name: str, section: defaults.Section, known_only: bool
) -> dict[str, list[Any]]:
  """Return the defaults of a section's options, from each constructor that it names."""
  found: dict[str, list[Any]] = {}
  for key in section.names:
    try:
      with named_as_keys(name=f'{name}.{key}'):
        taken = section.registry.options(place[key])
    except UserError:
      if not known_only:
        raise
      continue
    for option in taken.values():
      found.setdefault(option.name, []).append(option.default)
  return found
