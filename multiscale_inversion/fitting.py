"""Train a network on arrays in memory."""

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from ml_collections import ConfigDict

from multiscale_inversion import loading, recipes
from multiscale_inversion.data.dataset import Dataset
from multiscale_inversion.data.registry import ARRAYS
from multiscale_inversion.errors import UserError, WrongType, check_options, is_whole
from multiscale_inversion.options import options_of
from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.callbacks import Callback
from multiscale_inversion.runs.config import check_key
from multiscale_inversion.runs.loop import train_and_evaluate
from multiscale_inversion.trained import TrainedNetwork

Named = str | Mapping[str, Any]

_NUM_STEPS = 3000
# By the axes of an observation: features, sequences, images (the network of `configs.folder`).
_NETWORKS: Mapping[int, Mapping[str, Any]] = {
    1: {'name': 'mlp'},
    2: {'name': 'cnn_1d'},
    3: {'name': 'resnet', 'blocks_per_group': 2, 'width': 32},
}
# Options of a run that `fit` takes under another name, or not at all.
_TAKEN = ('recipe', 'seed', 'num_seeds', 'seeds_mode', 'init_from')
_SECTIONS = ('augmentation', 'optimizer', 'schedule')


def fit(
    images: Any,
    labels: Any,
    *,
    unlabeled: Any = None,
    test: tuple[Any, Any] | None = None,
    validation: tuple[Any, Any] | int = 0,
    network: Named | None = None,
    objective: Named = 'multiscale',
    recipe: str = recipes.FEW_LABELS,
    seed: int = 0,
    workdir: str | os.PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    init: TrainedNetwork | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **options: Any,
) -> TrainedNetwork:
  """Train a network on labeled and unlabeled observations.

  It is the training of `python -m experiments.main`: equal data, options and seed give equal
  numbers.

  Args:
    images: observations: images of shape [N, H, W, C], sequences [N, time, features] or features
      [N, features]; uint8 or floating-point numbers. Images are normalized one by one (Section
      3.1); sequences and features are taken as they are, so standardize them.
    labels: shape [N], whole numbers: -1 where there is no label, else 0 to C - 1, each of these at
      least once.
    unlabeled: more observations without a label. If there are none at all, the labeled ones serve
      as unlabeled ones, too.
    test: observations and their labels, to measure the error on after each epoch; nothing is chosen
      by it.
    validation: observations and their labels, or how many of the labeled ones to hold out of the
      training. `keep_best=True` returns the network with the lowest error on them in place of the
      last one, and `patience=N` ends the training after N evaluations without a lower one.
    network: the network's name, or a mapping of `name` and the network's options, such as
      `{'name': 'resnet', 'width': 32}`; unless given, `cnn_1d` for sequences, `mlp` for
      features, and for images `resnet` with two blocks a group and a width of 32.
    objective: likewise, see `objectives.names()`.
    recipe: `few_labels`, or `paper` for the paper's protocol.
    seed: of initialization, order and dropout.
    workdir: folder of the run, which is kept: `load` reads it, and the same call again resumes.
      Nothing is kept if None.
    class_names: a name for each class; `0`, `1`, ... unless given.
    init: weights to start from, in place of random ones: a trained network, `params` and
      `batch_stats` of a Flax module of the same structure, or the path of a run or a saved network.
    callbacks: told of records, checkpoints and the end.
    progress: whether to show data and progress on standard error.
    **options: keys of a configuration outside of its sections, such as `num_steps` (3,000 unless
      given, or `num_epochs`), `batch_size` (50, or less where there are too few unlabeled
      observations), `learning_rate`; and `augmentation`, a mapping such as `{'weak': 'shift'}`.

  Returns:
    The trained network.

  Raises:
    UserError: for wrong data or options, in one line.
    StorageError: if the folder cannot be written to.
    Diverged: if the loss or a parameter is not finite.

  Example:
    >>> x = np.random.RandomState(0).randn(40, 3)
    >>> labels = np.where(np.arange(40) < 10, x[:, 0] > 0, -1)
    >>> fit(x, labels, num_steps=20, network={'name': 'mlp', 'width': 8}, progress=False)
    TrainedNetwork(mlp, 218 parameters, observations of 3, 2 classes, step 20)
  """
  num_validation = int(cast(int, validation)) if is_whole(validation) else None
  parts = {'test': test, 'validation': validation if num_validation is None else None}
  dataset = _dataset(images, labels, unlabeled, parts, class_names)
  config = _config(dataset, network, objective, options)
  if num_validation is not None:
    config.data.num_validation = num_validation
  config.recipe, config.seed = recipe, seed
  with contextlib.ExitStack() as stack:
    if workdir is None:
      workdir = stack.enter_context(tempfile.TemporaryDirectory(prefix='multiscale_inversion_'))
    folder = os.path.expanduser(os.fspath(workdir))
    train_and_evaluate(
        config,
        folder,
        dataset=dataset,
        callbacks=callbacks,
        progress=progress,
        initial_variables=_initial(init),
    )
    return loading.load(folder)


def _dataset(
    images: Any,
    labels: Any,
    unlabeled: Any,
    parts: Mapping[str, Any],
    class_names: Sequence[str] | None,
) -> Dataset:
  """Return the data set; `data.dataset.check` checks what is not checked here."""
  train_images, train_labels = _observations(images, 'images'), _labels(labels, 'labels')
  if train_labels.shape != train_images.shape[:1]:
    raise UserError(
        f'labels: of shape {train_labels.shape}; allowed: ({len(train_images)},), one for each of '
        'the images'
    )
  if unlabeled is not None:
    more = _observations(unlabeled, 'unlabeled')
    _check_same_shape(more, train_images, 'unlabeled')
    train_images = np.concatenate([train_images, more])
    train_labels = np.concatenate([train_labels, np.full(len(more), -1, train_labels.dtype)])
  names = _class_names(train_labels, class_names)
  more_arrays: dict[str, Any] = {}
  for part, given in parts.items():
    found, its_labels = train_images[:0], train_labels[:0]
    if given is not None:
      if not isinstance(given, tuple | list) or len(given) != 2:
        raise WrongType(f'{part}: a {type(given).__name__}; allowed: a pair of images and labels')
      found, its_labels = _observations(given[0], part), _labels(given[1], part)
      _check_same_shape(found, train_images, part)
    more_arrays |= {f'{part}_images': found, f'{part}_labels': its_labels}
  return Dataset(ARRAYS, train_images, train_labels, class_names=names, **more_arrays)


def _observations(given: Any, what: str) -> np.ndarray:
  """Return observations unchanged if they are uint8, else as float32."""
  try:
    x = np.asarray(given)
  except (TypeError, ValueError) as error:  # rows of different lengths
    raise UserError(f'a {type(given).__name__} that makes no array', what) from error
  if not (np.issubdtype(x.dtype, np.number) or x.dtype == bool) or np.iscomplexobj(x):
    raise WrongType(f'an array of {x.dtype}; allowed: real numbers, such as uint8', what)
  if x.ndim - 1 not in _NETWORKS:
    raise UserError(
        f'of shape {x.shape}; allowed: [N, H, W, C], [N, time, features] or [N, features]', what
    )
  return x if x.dtype == np.uint8 else x.astype(np.float32)


def _labels(given: Any, what: str) -> np.ndarray:
  labels = np.asarray(given)
  if labels.dtype == bool:
    labels = labels.astype(np.int32)
  if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
    raise WrongType(
        f'labels of {labels.dtype} and shape {labels.shape}; allowed: whole numbers, one for each '
        'image, -1 for none',
        what,
    )
  return labels


def _check_same_shape(x: np.ndarray, train: np.ndarray, what: str) -> None:
  if x.shape[1:] != train.shape[1:] or x.dtype != train.dtype:
    raise UserError(
        f'{x.dtype} of shape {x.shape}; allowed: {train.dtype} of shape '
        f'(N, {", ".join(map(str, train.shape[1:]))}), as the images are',
        what,
    )


def _class_names(labels: np.ndarray, given: Sequence[str] | None) -> tuple[str, ...]:
  """Return the classes' names; check that each class has a label."""
  found = np.unique(labels[labels >= 0])
  if labels.size and labels.min() < -1:
    raise UserError(f'{labels.min()}; allowed: -1 for none, and 0 to C - 1', 'labels')
  count = int(found[-1]) + 1 if len(found) else 0
  if given is not None:
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
      raise WrongType(f'{given!r}; allowed: a sequence of strings', 'class_names')
    if len({*given}) != len(given) or len(given) < count:
      raise UserError(
          f'{len(given)} names; allowed: {max(count, 2)}, all different, one for each class',
          'class_names',
      )
    count = len(given)
  if count < 2:
    raise UserError(f'{count} classes with a label; allowed: at least 2', 'labels')
  missing = sorted({*range(count)} - {*found.tolist()})
  if missing:
    raise UserError(
        f'no image of class {missing[0]}; allowed: at least one with a label of each class from 0 '
        f'to {count - 1}',
        'labels',
    )
  return tuple(map(str, range(count) if given is None else given))


def _config(
    dataset: Dataset, network: Named | None, objective: Named, options: Mapping[str, Any]
) -> ConfigDict:
  config = defaults.get_config()
  config.data.name = ARRAYS
  axes = dataset.train_images.ndim - 1
  _set_named(config.network, _NETWORKS[axes] if network is None else network, 'network')
  _set_named(config.objective, objective, 'objective')
  allowed = [name for name in options_of(defaults.Run) if name not in _TAKEN]
  check_options('fit', options, [*allowed, *_SECTIONS])
  num_unlabeled = int(np.sum(dataset.train_labels < 0))
  if not num_unlabeled:
    config.data.unlabeled, num_unlabeled = 'all', len(dataset.train_labels)
  config.batch_size = min(config.batch_size, 2 * num_unlabeled)
  if 'num_epochs' not in options:
    config.num_steps = _NUM_STEPS
  for name, value in options.items():
    if name in _SECTIONS:
      _set(config[name], value, name)
    else:
      _set(config, {name: value}, '')
  return config


def _initial(given: Any) -> Mapping[str, Any] | None:
  if isinstance(given, str | os.PathLike):
    given = loading.load(given)
  if isinstance(given, TrainedNetwork):
    return given.variables
  if given is not None and not isinstance(given, Mapping):
    raise WrongType(
        f'a {type(given).__name__}; allowed: a trained network, its variables, or a path', 'init'
    )
  return given


def _set_named(section: ConfigDict, given: Named, what: str) -> None:
  if isinstance(given, str):
    given = {'name': given}
  if not isinstance(given, Mapping) or 'name' not in given:
    raise WrongType(f'{given!r}; allowed: a name, or a mapping of name and options', what)
  _set(section, given, what)


def _set(section: ConfigDict, values: Any, what: str) -> None:
  """Set keys of a configuration; their values are checked with the whole of it."""
  if not isinstance(values, Mapping):
    raise WrongType(f'{values!r}; allowed: a mapping', what)
  known = defaults.keys()
  with section.ignore_type():
    for key, value in values.items():
      check_key(f'{what}.{key}' if what else key, known)
      section[key] = value
