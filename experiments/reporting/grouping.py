"""The names of finished runs, and which runs share a setting: all but their seeds is equal."""

import collections
import math
import statistics
from collections.abc import Sequence
from typing import Any

from multiscale_inversion import networks
from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.config import flatten, resolve
from multiscale_inversion.runs.finished import FinishedRun
from multiscale_inversion.runs.recorded import FREE_KEYS, as_json

# A run may resume under another note, but notes tell data sets of one name apart.
_NOTE = 'data.note'
# Keys that do not belong to the setting: the seed, the machine, and how often to look.
OF_THE_RUN = {
    'seed',
    'num_seeds',
    'seeds_mode',
    'rematerialize',
    'log_every_steps',
    'eval_every_epochs',
    'eval_every_steps',
    'keep_best',
    'eval_batch_size',
    *FREE_KEYS,
} - {_NOTE}
_NAMES = ('network.name', 'objective.name')
# Keys whose values decide about the defaults of options.
_NAMED = (
    ('network', 'name'),
    ('objective', 'name'),
    ('augmentation', 'weak'),
    ('augmentation', 'strong'),
    ('optimizer', 'name'),
    ('schedule', 'name'),
)
# Keys that the columns and names of tables show.
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


def dataset_name(run: FinishedRun) -> str:
  """Return the name of the data set, with its note and the corruption of its training images."""
  options = run.configuration.data
  corruption = options.corruption
  notes = [
      options.note,
      f'{corruption} {options.corruption_level:g}' if corruption != 'none' else None,
  ]
  shown = ', '.join(filter(None, notes))
  return f'{run.dataset} ({shown})' if shown else run.dataset


def network_name(run: FinishedRun) -> str:
  """Return the network's name as the paper writes it: Resnet3-64, Resnet2-32max, Large CNN, ..."""
  options = run.configuration.network
  if run.network == 'resnet':
    default = networks.defaults('resnet')
    blocks, width, pooling = (
        default[key] if options[key] is None else options[key]
        for key in ('blocks_per_group', 'width', 'pooling')
    )
    name = f'Resnet{blocks}-{width}{"max" if pooling == "max" else ""}'
  else:
    name = {'large_cnn': 'Large CNN'}.get(run.network, run.network)
  activation = options.activation
  return name if activation in (None, 'leaky_relu') else f'{name}, {activation}'


def objective_name(run: FinishedRun) -> str:
  """Return the objective's name, with the options that are not the paper's."""
  options, words = run.configuration.objective, []
  if run.objective != 'supervised' and options.unlabeled not in (None, 'entropy'):
    words.append(options.unlabeled)
  if options.form not in (None, 'output'):
    words.append(f'{options.form} form')
  if options.rule:
    words.append(options.rule)
  return f'{run.objective} ({", ".join(words)})' if words else run.objective


def setting(run: FinishedRun) -> dict[str, Any]:
  """Return the configuration of a run by dotted keys, without the keys in `OF_THE_RUN`.

  Options at their defaults are None, so that runs of one setting share it whichever version of the
  project recorded them.
  """
  config = run.configuration
  plain = defaults.get_config()
  for section, name in _NAMED:
    plain[section][name] = config[section][name]
  default = flatten(resolve(plain, known_only=True))
  return {
      key: None if value == default.get(key) and key not in _NAMES else as_json(value)
      for key, value in flatten(config).items()
      if key not in OF_THE_RUN
  }


def by_setting(runs: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
  """Group runs that differ in their seeds only.

  Returns:
    The groups in the order of their first runs, each sorted by seed. If a seed occurs twice in a
    setting, the first run counts.
  """
  groups: dict[str, dict[int, FinishedRun]] = collections.defaultdict(dict)
  for run in runs:
    groups[repr(setting(run))].setdefault(run.seed, run)
  return [[group[seed] for seed in sorted(group)] for group in groups.values()]


def differences(settings: Sequence[dict[str, Any]]) -> list[str]:
  """Return for each setting its `key=value` pairs that the others do not share.

  Keys that the other columns of a table show are left out.
  """
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


def standard_error(values: Sequence[float]) -> float:
  """Return the standard error of the mean of values; nan for one value."""
  if len(values) < 2:
    return math.nan
  return statistics.stdev(values) / math.sqrt(len(values))
