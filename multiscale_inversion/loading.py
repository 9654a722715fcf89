"""Load a trained network: from a run's folder, from a file, or one that the library brings."""

import os
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jax
import jax.numpy as jnp

from multiscale_inversion import network_file, trained
from multiscale_inversion.checkpoints import Checkpoint, Checkpoints
from multiscale_inversion.errors import UserError, check_choice
from multiscale_inversion.networks.base import Network
from multiscale_inversion.runs.folder import RunFolder
from multiscale_inversion.trained import TrainedNetwork

_PRETRAINED = resources.files('multiscale_inversion') / 'pretrained'


def load(path: str | os.PathLike[str], seed: int | None = None) -> TrainedNetwork:
  """Load a network from a file that `TrainedNetwork.save` wrote, or from a run's folder.

  Of a folder it is the network that the run evaluates, from the latest checkpoint: if the objective
  averages parameters, the averaged ones with their batch statistics; with `keep_best`, the one with
  the lowest validation error so far. The run may be unfinished, and may have trained on any number
  of other devices. Neither the optimizer's state nor a data set is read.

  Args:
    path: the file or the folder.
    seed: the seed whose network is loaded, in a run of several seeds; the first seed if None.

  Raises:
    UserError: if the file is damaged, or the folder holds no run with a sound checkpoint, or none
      of this seed.

  Warns:
    DamagedCheckpointWarning: if the latest checkpoint is damaged and an older one is used.
  """
  path = os.path.expanduser(os.fspath(path))
  if os.path.isfile(path):
    if seed is not None:
      raise UserError(f'{seed}; allowed: none for a file, which holds one network', 'seed')
    return network_file.read(path)
  if not os.path.exists(path):
    raise UserError(f"{path}: not there; allowed: a run's folder, or a saved network's file")
  return _of_run(RunFolder(path), seed)


def pretrained_names() -> list[str]:
  """Return the names of the networks that the library brings."""
  found = (entry.name for entry in _PRETRAINED.iterdir())
  return sorted(name.removesuffix('.npz') for name in found if name.endswith('.npz'))


def load_pretrained(name: str) -> TrainedNetwork:
  """Load one of the trained networks that the library brings, see `pretrained_names`.

  Each is described by a page beside it, `pretrained/NAME.md`: data, labels, error, command.

  Raises:
    UserError: for an unknown name.
  """
  check_choice('name', name, pretrained_names())
  with resources.as_file(_PRETRAINED / f'{name}.npz') as path:
    return network_file.read(str(path))


def _of_run(folder: RunFolder, seed: int | None) -> TrainedNetwork:
  config, about = folder.config(), folder.data()
  checkpoint = Checkpoints(folder.checkpoints).restore_variables()
  if checkpoint is None:
    raise UserError(
        f'{folder.checkpoints}: no checkpoint yet; allowed: a run that has finished, or that was '
        'interrupted after its first checkpoint'
    )
  folder.check_digests(checkpoint.notes.get('files'))
  variables = checkpoint.tree
  variables = {'params': variables['params'], 'batch_stats': variables.get('batch_stats') or {}}
  variables = _of_seed(variables, config['seed'], config['num_seeds'], seed, str(folder))
  step = _step(checkpoint, config, seed)
  try:
    found = trained.from_options(
        config, variables, about['class_names'], about['image_shape'], step
    )
  except (KeyError, TypeError, AttributeError) as error:
    raise UserError(f'{folder.config_file}: not of a run ({error!r})') from error
  if not checkpoint.notes.get('files'):  # Early versions kept no digests, so check the shapes.
    _check_fit(found.network, found.variables, found.image_shape, folder)
  return found


def _step(checkpoint: Checkpoint, config: Mapping[str, Any], seed: int | None) -> int:
  """Return the number of steps after which a network was saved: the latest, or the best one."""
  if not config.get('keep_best'):
    return checkpoint.step
  best = checkpoint.notes['kept']['best'][0 if seed is None else seed - config['seed']]
  return checkpoint.step if best is None else best['step']


def _check_fit(
    network: Network, variables: Any, image_shape: tuple[int, ...], folder: RunFolder
) -> None:
  """Raise a `UserError` unless the variables fit the network."""
  images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
  try:
    jax.eval_shape(network.apply, variables, images)
  except Exception as error:  # Flax, JAX and layers raise errors of many types
    raise UserError(
        f'{folder.checkpoints}: not of the network in {os.path.basename(folder.config_file)}; '
        'allowed: the folder as it was saved'
    ) from error


def _of_seed(variables: Any, first: int, count: int, seed: int | None, directory: str) -> Any:
  """Return the variables of one seed of a run, the first if `seed` is None."""
  last = first + count - 1
  seed = first if seed is None else seed
  if not first <= seed <= last:
    allowed = str(first) if count == 1 else f'{first} to {last}'
    raise UserError(f'seed: {seed} is none of {directory}; allowed: {allowed}')
  if count == 1:
    return variables
  return jax.tree.map(lambda leaf: leaf[seed - first], variables)
