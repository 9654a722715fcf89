"""What tells the settings of finished runs apart, beside what names say."""

from collections.abc import Sequence
from typing import Any

from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.config import flatten, from_record, resolve
from multiscale_inversion.runs.records import FREE_KEYS, as_json

# A run may go on under another note, but notes tell data sets of one name apart.
_NOTE = 'data.note'
# Of which run of a setting it is, where and how it was computed, and how often one looked.
OF_THE_RUN = {
    'seed',
    'num_seeds',
    'seeds_mode',
    'rematerialize',
    'log_every_steps',
    'eval_every_epochs',
    'eval_batch_size',
    *FREE_KEYS,
} - {_NOTE}
_NAMES = ('network.name', 'objective.name')
# What decides about the defaults of options.
_NAMED = (
    ('network', 'name'),
    ('objective', 'name'),
    ('augmentation', 'weak'),
    ('augmentation', 'strong'),
)
# What the columns and names of tables show.
_SHOWN = (
    'data.name',
    _NOTE,
    'data.num_labeled',
    'network.name',
    'network.blocks_per_group',
    'network.width',
    'network.pooling',
    'network.activation',
    'objective.name',
    'objective.unlabeled',
    'objective.form',
    'objective.rule',
    'num_epochs',
    'num_steps',
)


def setting(run: dict[str, Any]) -> dict[str, Any]:
  """The configuration of a run by dotted keys, without what its seed and machine decide.

  None where an option has its default, so that runs of one setting share it whatever version of the
  project recorded them.
  """
  config = from_record(run['config'])
  plain = defaults.get_config()
  for section, name in _NAMED:
    plain[section][name] = config[section][name]
  default = flatten(resolve(plain, known_only=True))
  flat = flatten(config)
  return {
      key: None if value == default.get(key) and key not in _NAMES else as_json(value)
      for key, value in flat.items()
      if key not in OF_THE_RUN
  }


def differences(settings: Sequence[dict[str, Any]]) -> list[str]:
  """For each setting the values, `key=value`, that others of them do not have."""
  keys = dict.fromkeys(key for one in settings for key in one)
  varying = [
      key
      for key in keys
      if key not in _SHOWN and len({repr(one.get(key)) for one in settings}) > 1
  ]
  return [
      ', '.join(f'{key}={one[key]}' for key in varying if one.get(key) is not None)
      for one in settings
  ]
