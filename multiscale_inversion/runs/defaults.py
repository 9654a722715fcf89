"""The keys of a configuration and their defaults, the paper's protocol (Section 3.1).

The classes below declare the keys that belong to no constructor. All other keys, under `data`,
`network`, `objective`, `optimizer` and so on, are the options of the constructors that are
registered there. They are None by default, which means the default of the constructor or of the
recipe; `config.json` in a run's folder holds the values used.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from multiscale_inversion import data, execution, networks, objectives, recipes
from multiscale_inversion import precision as precision_lib
from multiscale_inversion.data import augmentation
from multiscale_inversion.data import corruption as corruption_lib
from multiscale_inversion.data.splits import PROPORTIONS, UNLABELED
from multiscale_inversion.errors import UserError, named_as_keys
from multiscale_inversion.nn import dropout
from multiscale_inversion.options import (
  Check,
  OneOf,
  Option,
  Positive,
  Range,
  Share,
  ShareBelowOne,
  options_of,
)
from multiscale_inversion.training import optimizers, schedules

MAX_SEEDS = 1000  # of one program


class _Registered(OneOf):
  """Names that a module's registry knows; its error says how a file adds one."""

  registry: Any

  def __new__(cls, registry: Any) -> '_Registered':
    """Take the module, of which `names` and `options` are used."""
    choices = super().__new__(cls, registry.names)
    choices.registry = registry
    return choices

  def check(self, what: str, value: Any) -> None:
    """Raise a `UserError` that names `what` for an unknown name."""
    with named_as_keys(name=what):
      self.registry.options(value)


def _check_epochs(key: str, value: Any) -> None:
  if any(v < 1 for v in value) or list(value) != sorted({*value}):
    raise UserError(f'{value!r}; allowed: a tuple of ascending whole epochs from 1 on', key)


Epochs = Annotated[tuple[int, ...], Check(_check_epochs, 'ascending, from 1 on')]


@dataclasses.dataclass
class Run:
  """Keys outside of all sections.

  Attributes:
    recipe: defaults of options that are chosen together.
    seed: seed of labels, initialization, order and dropout.
    num_seeds: how many seeds, seed, seed + 1, ..., are trained in one program.
    seeds_mode: how several seeds share a program; sequential if None.
    batch_size: observations in a batch.
    labeled_fraction: labeled share of a batch.
    num_epochs: length of the training, in passes through the unlabeled images.
    num_steps: length of the training in steps, in place of num_epochs.
    learning_rate: the optimizer's, at the beginning.
    decay_epochs: when the learning rate of the schedule steps decays, scaled to the length of the
      training.
    decay_reference_epochs: length of the training that decay_epochs refer to.
    decay_factor: factor of each decay.
    init_from: run's folder or saved network whose weights the training starts from, in place of
      random ones; of a run of several seeds, the first one's.
    precision: precision of the arithmetic.
    rematerialize: whether activations are computed again, for less memory and more time.
    dropout_generator: generator of dropout's random bits; rbg is XLA's own, see docs/devices.md.
    num_devices: over how many devices a batch is spread; all that are there if None.
    eval_every_epochs: epochs between evaluations.
    eval_every_steps: steps between evaluations, in place of eval_every_epochs.
    keep_best: whether the network that is saved is that with the lowest validation error, in place
      of the last one.
    patience: evaluations in a row without a lower validation error that end the training; None for
      the whole length.
    eval_batch_size: images in a batch of the evaluation.
    log_every_steps: steps between records; the end of each epoch is recorded, too.
    checkpoint_every_seconds: time between checkpoints.
  """

  recipe: Annotated[str, OneOf(recipes.NAMES)] = recipes.PAPER
  seed: Annotated[int, Range(0)] = 0
  num_seeds: Annotated[int, Range(1, MAX_SEEDS)] = 1
  seeds_mode: Annotated[str, OneOf(execution.MODES)] | None = None
  batch_size: Annotated[int, Range(2)] = 50
  labeled_fraction: Share = 0.5
  num_epochs: Positive = 400
  num_steps: Positive | None = None
  learning_rate: Annotated[float, Range(1e-12, 1e6)] = 0.002
  decay_epochs: Epochs = (150, 300)
  decay_reference_epochs: Positive = 400
  decay_factor: Annotated[float, Range(1e-12, 1)] = 0.5
  init_from: str | None = None
  precision: Annotated[str, OneOf(precision_lib.NAMES)] = 'float32'
  rematerialize: bool = False
  dropout_generator: Annotated[str, OneOf(dropout.GENERATORS)] = 'threefry'
  num_devices: Positive | None = None
  eval_every_epochs: Positive = 1
  eval_every_steps: Positive | None = None
  keep_best: bool = False
  patience: Positive | None = None
  eval_batch_size: Positive = 200
  log_every_steps: Positive = 100
  checkpoint_every_seconds: Annotated[float, Range(0)] = 60.0


@dataclasses.dataclass
class Data:
  """Keys of the section `data` that belong to no data set.

  Attributes:
    name: the data set.
    data_dir: folder of prepared TFDS sets, TFDS_DATA_DIR or ~/tensorflow_datasets if None; of
      `folder`, the folder of images or a CSV file.
    note: what distinguishes this copy of the data, such as `JPEG copy`; results show it.
    num_labeled: number of labeled images; all that have a label if None.
    proportions: of the classes among the chosen labels, as many of each or as in the training set.
    labels_per_class: number of labels of each class, in place of num_labeled.
    num_validation: number of labeled training images that are held out for validation.
    unlabeled: the unlabeled images, the rest of the training set or all of it.
    corruption: corruption of the training images, the same in every epoch.
    corruption_level: a share of the largest pixel, of the area or of the image.
    placement: where the training set stays; batches stream from the host.
  """

  name: Annotated[str, _Registered(data)] = 'svhn_cropped'
  data_dir: str | None = None
  note: str = ''
  num_labeled: Positive | None = None
  proportions: Annotated[str, OneOf(PROPORTIONS)] = 'equal'
  labels_per_class: tuple[int, ...] | None = None
  num_validation: Annotated[int, Range(0)] = 0
  unlabeled: Annotated[str, OneOf(UNLABELED)] = 'rest'
  corruption: Annotated[str, OneOf(corruption_lib.NAMES)] = 'none'
  corruption_level: Annotated[float, Range(0)] = 0.0
  placement: Literal['device', 'host'] = 'device'


@dataclasses.dataclass
class Network:
  """The key of the section `network` that is no network's option.

  Attributes:
    name: the network.
  """

  name: Annotated[str, _Registered(networks)] = 'large_cnn'


@dataclasses.dataclass
class Objective:
  """The key of the section `objective` that is no objective's option.

  Attributes:
    name: the objective; with +multiscale or +global behind it, the reconstruction loss is added.
  """

  name: Annotated[str, _Registered(objectives)] = 'multiscale'


@dataclasses.dataclass
class Augmentation:
  """Keys of the section `augmentation` that are no augmentation's options.

  Attributes:
    weak: augmentation of the images that the network is trained on.
    strong: second augmentation of objectives that compare two, such as fixmatch.
  """

  weak: Annotated[str, _Registered(augmentation)] = 'none'
  strong: Annotated[str, _Registered(augmentation)] = 'strong'


@dataclasses.dataclass
class Optimizer:
  """Keys of the section `optimizer` that are no optimizer's options.

  Attributes:
    name: the optimizer.
    clip_norm: largest norm of all gradients together, to which larger ones are scaled; no limit if
      None.
    accumulate_steps: steps whose mean gradient makes one step of the optimizer.
    average_decay: share of the old value that moving averages of the weights keep in a step, which
      are evaluated and saved in place of the trained ones; no average if None.
  """

  name: Annotated[str, _Registered(optimizers)] = 'adam'
  clip_norm: Annotated[float, Range(1e-12)] | None = None
  accumulate_steps: Positive = 1
  average_decay: ShareBelowOne | None = None


@dataclasses.dataclass
class Schedule:
  """Keys of the section `schedule` that are no schedule's options.

  Attributes:
    name: the schedule of the learning rate.
    warmup_steps: first steps, in which the learning rate rises in proportion.
    rampup: length of a Gaussian ramp of the learning rate at the beginning, a share of the
      training.
    rampdown: length of one at the end.
  """

  name: Annotated[str, _Registered(schedules)] = 'steps'
  warmup_steps: Annotated[int, Range(0)] = 0
  rampup: Share = 0.0
  rampdown: Share = 0.0


class Section(NamedTuple):
  """A section of the configuration.

  Attributes:
    declared: class of the keys that belong to no constructor.
    registry: module whose constructors' options are the other keys.
    names: those of the declared keys that hold a constructor's name.
  """

  declared: type
  registry: Any
  names: tuple[str, ...] = ('name',)

  def fixed(self) -> tuple[str, ...]:
    """Return the names of the declared keys."""
    return tuple(options_of(self.declared))


SECTIONS: Mapping[str, Section] = MappingProxyType({
    'data': Section(Data, data),
    'network': Section(Network, networks),
    'objective': Section(Objective, objectives),
    'augmentation': Section(Augmentation, augmentation, ('weak', 'strong')),
    'optimizer': Section(Optimizer, optimizers),
    'schedule': Section(Schedule, schedules),
})


class Key(NamedTuple):
  """A key of the configuration.

  Attributes:
    options: the options that it sets, by the names of the constructors that take them.
    declared: the option that it is, where it belongs to no constructor.
  """

  options: dict[str, Option]
  declared: Option | None = None

  def types(self) -> tuple[type, ...]:
    """Return the types that a value may have."""
    found = dict.fromkeys(type_ for option in self.all() for type_ in option.types)
    return (object,) if object in found else tuple(found)

  def all(self) -> tuple[Option, ...]:
    """Return all options of this key."""
    declared = () if self.declared is None else (self.declared,)
    return tuple(self.options.values()) or declared


def keys() -> dict[str, Key]:
  """Return all keys that there are now, dotted; the declared ones come first."""
  found = {name: Key({}, option) for name, option in options_of(Run).items()}
  for name, section in SECTIONS.items():
    for key, option in options_of(section.declared).items():
      found[f'{name}.{key}'] = Key({}, option)
  for name, section in SECTIONS.items():
    for constructor in section.registry.names():
      for key, option in section.registry.options(constructor).items():
        entry = found.setdefault(f'{name}.{key}', Key({}))
        entry.options[constructor] = option
  return found


def get_config() -> ConfigDict:
  """Return the defaults, a new object each time."""
  config = ConfigDict()
  for key, entry in keys().items():
    section, _, name = key.rpartition('.')
    if section and section not in config:
      config[section] = ConfigDict()
    default, types = entry.declared.default if entry.declared else None, entry.types()
    type_ = types[0] if len(types) == 1 else object
    (config[section] if section else config)[name] = (
        placeholder(type_) if default is None else default
    )
  return config
