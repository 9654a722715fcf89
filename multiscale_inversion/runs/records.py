"""What a run records of itself, and whether a run that goes on is still the same."""

import importlib.metadata
import json
import os
import platform
import re
import shlex
from collections.abc import Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from multiscale_inversion import data
from multiscale_inversion.data.checksum import checksum
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs.config import flatten, from_record, resolve
from multiscale_inversion.runs.fingerprint import describe
from multiscale_inversion.runs.folder import RunFolder

# What may differ when a run is resumed: where things are, how often one looks, and the name of what
# other keys hold.
FREE_KEYS = (
    'recipe',
    'data.data_dir',
    'data.note',
    'data.placement',
    'num_devices',
    'checkpoint_every_seconds',
)
_FOLDER_FLAGS = ('workdir', 'config.data.data_dir')
_DATA_DIR = re.compile(r'(data\.data_dir=)[^,]+')  # among `--set`'s
_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'orbax-checkpoint', 'tensorflow-datasets')


def as_json(content: Any) -> Any:
  """The content as it would be read back from a file: tuples as lists, functions by name."""
  return json.loads(json.dumps(content, default=_of_no_json))


def _of_no_json(value: Any) -> str:
  if not callable(value):
    raise TypeError(f'{value!r} cannot be written to a file')
  return describe(value)


def single_runs(run: dict[str, Any]) -> list[dict[str, Any]]:
  """Return a summary of several seeds as one summary a seed, and another one as it is.

  Each has its seed's own `test_error` and, from runs that recorded them, `train` scalars. The
  configuration stays that of the program that ran, with its first seed and their number, and so
  does `wall_time_s`, which `wall_time_shared_by` seeds share.
  """
  if 'seeds' not in run:
    return [run]
  means = ('seeds', 'test_error', 'test_error_std', 'train')
  shared = {key: value for key, value in run.items() if key not in means}
  shared.setdefault('wall_time_shared_by', len(run['seeds']))
  return [{**shared, **own} for own in run['seeds']]


def public(run: dict[str, Any]) -> dict[str, Any]:
  """A summary without the folders of the machine that it was made on."""
  config = {**run['config'], 'data': {**run['config']['data'], 'data_dir': None}}
  return {**run, 'config': config, 'command': public_command(run['command'])}


def public_command(command: str) -> str:
  """A command without the folders of the machine."""
  found, hide_next = [], False
  for argument in shlex.split(command):
    flag, separator, value = argument.partition('=')
    if flag.lstrip('-') in _FOLDER_FLAGS:
      found.append(f'{flag}=DIR' if separator else flag)
      hide_next = not separator
      continue
    path = value if separator else argument
    if hide_next:
      found.append('DIR')
    elif os.path.isabs(os.path.expanduser(path)):
      found.append(flag + separator + os.path.basename(path) if separator else 'DIR')
    else:
      found.append(_DATA_DIR.sub(r'\1DIR', argument))
    hide_next = False
  return shlex.join(found)


def about_data(dataset: data.Dataset) -> dict[str, Any]:
  """What a summary says of the data set."""
  return {
      'class_names': list(dataset.class_names),
      'image_shape': list(dataset.train_images.shape[1:]),
      'skipped_images': len(dataset.skipped),
  }


def _data_record(dataset: data.Dataset) -> dict[str, Any]:
  """What `data.json` holds: what a trained network needs of its data set, and what was used."""
  return {
      **about_data(dataset),
      'num_train': len(dataset.train_labels),
      'num_train_with_label': int((dataset.train_labels >= 0).sum()),
      'num_test': len(dataset.test_labels),
      'skipped': [': '.join(entry) for entry in dataset.skipped],
      'sha256': checksum(dataset),
  }


def check_data(folder: RunFolder, dataset: data.Dataset) -> dict[str, Any]:
  """Check that a run that is to go on has the data that it began with.

  Returns:
    What `data.json` is to hold.

  Raises:
    UserError: if not: lists the differences.
  """
  now = as_json(_data_record(dataset))
  if not folder.has_begun():
    return now
  found = folder.data()
  keys = ('class_names', 'image_shape', 'num_train', 'num_train_with_label', 'num_test')
  differences = [
      f'{key} was {found.get(key)!r}, now {now[key]!r}'
      for key in keys
      if key in found and found[key] != now[key]
  ]
  if not differences and found.get('sha256', now['sha256']) != now['sha256']:
    differences = ['images, labels or their order are others']
  if differences:
    raise UserError(
        f'{folder} holds a run on other data: {"; ".join(differences)}; give --workdir=DIR for a '
        'new run, or the old data to go on with this one'
    )
  return now


def check(folder: RunFolder, config: ConfigDict) -> None:
  """Checks that a folder is that of this configuration's run, or of none that has begun.

  Raises:
    UserError: if it belongs to a run of another configuration: lists the differences.
  """
  if not folder.has_begun():
    return
  found = folder.config()
  # Keys younger than the run had the values that are now the defaults.
  found, wanted = (
      flatten(ConfigDict(as_json(c.to_dict()))) for c in (resolve(from_record(found)), config)
  )
  differences = [
      f'{key} was {found.get(key)!r}, now {wanted.get(key)!r}'
      for key in sorted({*found, *wanted})
      if found.get(key) != wanted.get(key) and key not in FREE_KEYS
  ]
  if differences:
    raise UserError(
        f'{folder} holds a run of another configuration: {"; ".join(differences)}; '
        'give --workdir=DIR for a new run, or the old configuration to go on with this one'
    )


def hardware() -> dict[str, Any]:
  """The machine and its devices."""
  devices = jax.devices()
  return {
      'platform': devices[0].platform,
      'device': devices[0].device_kind,
      'num_devices': len(devices),
      'num_processes': jax.process_count(),
      'processor': _processor(),
      'num_cores': os.cpu_count(),
  }


def _processor() -> str:
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      for line in file:
        if line.startswith('model name'):
          return line.partition(':')[2].strip()
  except OSError:
    pass
  return platform.processor() or platform.machine()


def versions(more: Sequence[str] = ()) -> dict[str, str]:
  """Versions of Python, this package, what decides about numbers, and more packages."""
  found = {'python': platform.python_version()}
  for package in ('multiscale_inversion', *_PACKAGES, *more):
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      found[package] = 'not installed'
  return found
