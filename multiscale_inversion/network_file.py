"""A trained network in one file: NumPy's archive of arrays, with a JSON text that describes it."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from multiscale_inversion import trained
from multiscale_inversion.errors import UserError, one_line
from multiscale_inversion.files import read_bytes, write_bytes
from multiscale_inversion.version import __version__

_ABOUT = 'about'
_FORMAT = 1
_NEEDED = ('format', 'options', 'class_names', 'image_shape', 'step')


def write(network: trained.TrainedNetwork, path: str) -> None:
  """Write a network.

  Args:
    network: made from options.
    path: the file, replaced if there is one.

  Raises:
    UserError: if the network was not made from options, or the file cannot be written.
    StorageError: if the disk is full or does not write.
  """
  if network.options is None:
    raise UserError(
        f'{path}: a {type(network.network).__name__} that was not made from options cannot be '
        'saved; allowed: a network that was trained or loaded'
    )
  about = {
      'format': _FORMAT,
      'version': __version__,
      'options': network.options,
      'class_names': network.class_names,
      'image_shape': network.image_shape,
      'step': network.step,
  }
  arrays = flatten_dict(jax.device_get(dict(network.variables)), sep='/')
  content = io.BytesIO()
  np.savez(content, allow_pickle=False, **{_ABOUT: np.array(json.dumps(about))}, **arrays)
  write_bytes(path, content.getvalue())


def read(path: str) -> trained.TrainedNetwork:
  """Read a network.

  Args:
    path: a file that `write` wrote.

  Raises:
    UserError: if it cannot be read, is damaged, or is of a later version; if the network's name
      is not registered.
  """
  arrays = _arrays(path)
  about = _about(arrays.pop(_ABOUT, None), path)
  variables = unflatten_dict(arrays, sep='/')
  try:
    return trained.from_options(
        about['options'],
        {'params': variables['params'], 'batch_stats': variables.get('batch_stats', {})},
        about['class_names'],
        about['image_shape'],
        about['step'],
    )
  except (KeyError, TypeError, AttributeError) as error:
    raise UserError(f'{path}: not of a trained network ({error!r})') from error


def _arrays(path: str) -> dict[str, np.ndarray]:
  """Return the arrays of an archive, by name."""
  content = io.BytesIO(read_bytes(path))
  try:
    with zipfile.ZipFile(content) as archive:
      damaged = archive.testzip()  # before any header is believed
    if damaged is not None:
      raise UserError(f'{path}: damaged ({damaged})')
    content.seek(0)
    with np.load(content, allow_pickle=False) as found:
      return dict(found)
  except UserError:
    raise
  except Exception as error:  # zipfile and NumPy raise errors of many types
    raise UserError(
        f'{path}: not a trained network, or damaged ({one_line(error)}); allowed: a file written '
        'by TrainedNetwork.save'
    ) from error


def _about(found: np.ndarray | None, path: str) -> Mapping[str, Any]:
  """Return the description of a network."""
  try:
    about = json.loads(str(found))
  except ValueError:
    about = None
  if not isinstance(about, dict) or any(key not in about for key in _NEEDED):
    raise UserError(f'{path}: holds arrays, but no trained network')
  if about['format'] != _FORMAT:
    raise UserError(f'{path}: of format {about["format"]!r}; allowed: {_FORMAT}')
  return about
