"""Options: read from constructors, checked in Python and in configurations, shown by `--help`."""

import dataclasses
import json
import pickle
from collections.abc import Sequence
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import digits_50
from experiments.reporting.grouping import setting
from multiscale_inversion import data, networks, objectives
from multiscale_inversion.cli import overrides
from multiscale_inversion.cli import program as cli
from multiscale_inversion.data import augmentation
from multiscale_inversion.errors import UserError, WrongType, named_as_keys
from multiscale_inversion.options import OneOf, Range, checked, options_of
from multiscale_inversion.registry import Registry
from multiscale_inversion.runs import build, defaults
from multiscale_inversion.runs.config import flatten, resolve, validate
from multiscale_inversion.runs.finished import FinishedRun
from multiscale_inversion.runs.recorded import as_json
from tests import tiny


def constructor(
    share: Annotated[float, Range(0, 1, open_end=True)],
    count: Annotated[int, Range(1, 9)] = 3,
    kind: Literal['a', 'b'] = 'a',
    name: Annotated[str, OneOf(lambda: ('x', 'y'))] | None = None,
    flag: bool = False,
    sizes: Sequence[int] = (1, 2),
    either: int | str = 1,
    bare=0.5,
    untyped=None,
):
  """Makes nothing.

  Args:
    share: a share of the whole, see
      Eq. 5. Another sentence.
    count, flag: two at once.
    kind: `a` or `b`.

  Returns:
    kind: nothing.
  """
  return share, count, kind, name, flag, sizes, either, bare, untyped


OPTIONS = options_of(constructor)


def test_types_defaults_and_meanings():
  assert [option.types for option in OPTIONS.values()] == [
    (float,), (int,), (str,), (str,), (bool,), (tuple,), (int, str), (float,), (object,),
  ]
  assert OPTIONS['share'].required and not OPTIONS['count'].required
  assert [OPTIONS[name].default for name in ('count', 'kind', 'bare')] == [3, 'a', 0.5]
  assert OPTIONS['share'].meaning == 'a share of the whole, see Eq. 5'
  assert OPTIONS['count'].meaning == OPTIONS['flag'].meaning == 'two at once'
  assert OPTIONS['kind'].meaning == '`a` or `b`' and OPTIONS['bare'].meaning == ''


@pytest.mark.parametrize(('name', 'good', 'bad'), [
  ('share', [0, 0.5, np.float32(0.1), jnp.float32(0.1)], [1, -1, 'x', True, float('nan'), None]),
  ('count', [1, 9, np.int64(3)], [0, 10, 2.0, True, '3', None]),
  ('kind', ['a', 'b'], ['c', '', 1, None]),
  ('name', ['x', None], ['z', 0]),
  ('flag', [True], [1, 'true', None]),
  ('sizes', [(), [3], np.array([1, 2])], [3, (0.5,), 'ab', ('a',)]),
  ('either', [1, 'x'], [0.5, None]),
  ('bare', [1, 0.25], ['x', None]),
  ('untyped', [None, 1, 'x', object()], []),
])  # fmt: skip
def test_values(name, good, bad):
  for value in good:
    OPTIONS[name].check(value)
  for value in bad:
    with pytest.raises(UserError, match=rf'^section\.{name}: .*allowed: '):
      OPTIONS[name].check(value, f'section.{name}')


def test_strings_as_annotations_and_classes_that_inherit():
  @dataclasses.dataclass
  class Base:
    """A base.

    Attributes:
      width: of the base.
    """

    width: 'Annotated[int, Range(1)]' = 2

  @dataclasses.dataclass
  class Derived(Base):
    depth: 'int | None' = None

  found = options_of(Derived)
  assert found['width'].types == (int,) and found['width'].meaning == 'of the base'
  assert found['depth'].types == (int,) and found['depth'].optional
  with pytest.raises(UserError, match=r'^width: 0 is out of range; allowed: \[1, '):
    found['width'].check(0)


def test_a_checked_function():
  assert checked(constructor)(0.5, 4)[:2] == (0.5, 4)
  with pytest.raises(UserError, match=r'^count: 0 is out of range'):
    checked(constructor)(0.5, count=0)


def test_a_registry():
  registry = Registry({'own': constructor}, supplied={'share'})
  assert 'share' not in registry.options('own')
  assert registry.create('own', share=7, count=2)[:2] == (7, 2)
  for name, options, message in (
    ('onw', {}, r"name: unknown 'onw', nearest own; allowed: own, or"),
    ('own', {'cuont': 1}, r'cuont: not an option of own, nearest count; allowed: count, kind'),
    ('own', {'count': 0}, r'count: 0 is out of range'),
  ):
    with pytest.raises(UserError, match=f'^{message}'):
      registry.create(name, **options)
  with pytest.raises(UserError, match=r'mine: an option called .name.; allowed: names other'):
    registry.register('mine', constructor)
  with pytest.raises(WrongType, match='mine: a int; allowed: a function'):
    registry.register('mine', 3)
  with pytest.raises(UserError, match='share: own needs it; allowed: '):
    Registry({'own': constructor}).create('own')


def test_errors_are_named_as_keys():
  with pytest.raises(WrongType) as error, named_as_keys('network', dtype='precision'):
    raise WrongType('3; allowed: a multiple of depth=2 (see /a/depth=1)', 'width', ('depth',))
  text = 'network.width: 3; allowed: a multiple of network.depth=2 (see /a/depth=1)'
  assert str(error.value) == str(pickle.loads(pickle.dumps(error.value))) == text
  assert isinstance(error.value, TypeError) and isinstance(error.value, ValueError)
  keys = named_as_keys('network', dtype='precision')
  with pytest.raises(UserError, match=r'^precision: x'), keys:
    raise UserError('x', 'dtype')
  with pytest.raises(UserError, match=r'^as it is$'), named_as_keys('network'):
    raise UserError('as it is')


# Options of augmentations, from a configuration.


def test_an_option_of_the_weak_augmentation():
  config = tiny.config(**{'augmentation.weak': 'shift', 'augmentation.max_shift': 2})
  validate(config)
  weak, strong = build.create_augmentations(resolve(config))
  images = np.zeros((200, 8, 8, 1), np.float32)
  images[:, 4, 4] = 1
  moved = np.asarray(weak(build.jax.random.key(0), jnp.asarray(images)))
  rows, columns = np.argwhere(moved[..., 0])[:, 1:].T - 4
  assert set(rows) == set(columns) == {-2, -1, 0, 1, 2}
  assert strong(build.jax.random.key(0), jnp.asarray(images)).shape == images.shape


@pytest.mark.parametrize(('changes', 'message'), [
  ({'augmentation.weak': 'shift', 'augmentation.max_shift': -1}, 'max_shift: -1 is out of range'),
  ({'augmentation.num_operations': 11}, 'num_operations: 11 is out of range; allowed: \\[0, 10\\]'),
])
def test_a_wrong_value_of_an_augmentation(changes, message):
  with pytest.raises(UserError, match=rf'^augmentation\.{message}'):
    validate(tiny.config(**changes))


def test_an_option_that_no_augmentation_chosen_takes():
  config = tiny.config(**{'augmentation.std': 0.1})
  validate(config)
  message = r'^augmentation\.std: not an option of none or strong; allowed: num_operations'
  with pytest.raises(UserError, match=message):
    build.build(config)


def test_old_runs_have_the_setting_of_new_ones():
  """A run that was recorded before augmentations had options is one of the same setting."""
  new = resolve(tiny.config(**{'augmentation.weak': 'noise'})).to_dict()
  assert new['augmentation']['std'] == 0.15
  old = json.loads(json.dumps(new))
  old['augmentation'] = {'weak': 'noise', 'strong': 'strong'}
  runs = [FinishedRun.from_json(tiny.summary(config=config), 'there') for config in (old, new)]
  assert setting(runs[0]) == setting(runs[1])


# Networks, objectives and augmentations of a user.


@pytest.fixture
def mine(registrations):
  """A user's own: each with an option that the library does not know."""

  class Mine(networks.LayeredNetwork):
    """Mine.

    Attributes:
      growth: units that each layer adds.
    """

    num_classes: int
    growth: Annotated[int, Range(1, 64)] = 4
    gated: bool = False
    width: Literal['narrow', 'wide'] = 'wide'

  networks.register('mine', Mine)
  objectives.register('mine', lambda sharpness=1.0: objectives.create('entropy'))
  augmentation.register('mine', lambda spread=0.5: augmentation.none())


def test_a_tuple_of_strings_is_recorded(registrations):
  """Its values come back from `summary.json`; those of another kind are refused."""
  def named(places: tuple[str, ...] = ('a', 'b')):
    return objectives.create('entropy')

  objectives.register('named', named)
  config = tiny.config(**{'objective.name': 'named', 'objective.places': ('x', 'y')})
  recorded = as_json(resolve(config).to_dict())
  run = FinishedRun.from_json(tiny.summary(config=recorded), 'there')
  assert run.configuration.objective.places == ('x', 'y')
  recorded['objective']['places'] = ['x', 3]
  with pytest.raises(UserError, match=r'objective\.places: .*; allowed: a list of strings'):
    FinishedRun.from_json(tiny.summary(config=recorded), 'there')


def test_options_of_ones_own_are_keys(mine):
  config = tiny.config(**{
    'network.name': 'mine', 'network.blocks_per_group': None, 'network.width': None,
    'network.growth': 3, 'objective.name': 'mine', 'objective.sharpness': 2.0,
    'augmentation.weak': 'mine',
  })
  validate(config)
  flat = flatten(resolve(config))
  assert (flat['network.growth'], flat['network.gated']) == (3, False)
  assert (flat['network.width'], flat['augmentation.spread']) == ('wide', 0.5)
  assert build.create_network(resolve(config), 10).growth == 3
  config.network.growth = 65
  with pytest.raises(UserError, match=r'^network\.growth: 65 is out of range; allowed: \[1, 64\]'):
    validate(config)


def test_an_option_of_ones_own_on_the_command_line(mine):
  for text, value in (('wide', 'wide'), ('16', 16)):  # resnet's width is a number
    assert overrides.parse_value('network.width', text) == value
  given = overrides.split(['main', '--config.network.gated', '--config=mine.py'])
  assert given.file == 'mine.py' and given.changes == (('network.gated', 'true'),)
  with pytest.raises(UserError, match=r'^network\.growth=x: allowed: an integer'):
    overrides.parse_value('network.growth', 'x')


def test_a_file_that_registers_options(mine, tmp_path, monkeypatch):
  (tmp_path / 'file.py').write_text(
    'from experiments import digits_50\n'
    'from multiscale_inversion.data import augmentation\n'
    'augmentation.register("fading", lambda fast=False: augmentation.none())\n'
    'get_config = digits_50.get_config\n'
  )
  argv = ['main', f'--config={tmp_path}/file.py', '--config.augmentation.fast']
  assert cli.parse(argv) == ['main'] and cli.CONFIG.value.augmentation.fast is True


# Mistyped names, and help.


@pytest.mark.parametrize(('key', 'nearest'), [
  ('network.widht', 'network.width'), ('bacth_size', 'batch_size'), ('widht', 'network.width'),
  ('augmentaton.weak', 'augmentation.weak'), ('objective.lerning_rate', 'learning_rate'),
])
def test_a_mistyped_key_is_answered_with_the_nearest(key, nearest):
  with pytest.raises(UserError, match=rf'^{key}: unknown key, nearest {nearest}; allowed'):
    cli.check_key(key, flatten(defaults.get_config()))


def test_help_lists_every_key(mine):
  text = overrides.help_text()
  for key in flatten(defaults.get_config()):
    assert f'\n{key}: ' in text
  for line in (
    'network.growth: a whole number, [1, 64]; default: 4 (mine)\n    units that each layer adds',
    'network.depth: a whole number, [1, 2147483647]; default: 3 (mlp, cnn_1d, vit), 2 (lstm, gru)',
    'objective.alpha: [0, 1]; required by convex',
    'network.pooling: mean, max; default: \'mean\' (large_cnn, resnet, cnn_1d)',
    'batch_size: a whole number, [2, 2147483647]; default: 50\n    observations in a batch',
  ):
    assert line in text


def test_every_option_of_the_library_has_a_meaning():
  for key, entry in defaults.keys().items():
    assert any(option.meaning for option in entry.all()), key


def test_all_constructors_are_checked_in_python():
  for call, message in (
    (lambda: objectives.create('pi_model', weight=-1.0), 'weight: -1.0 is out of range'),
    (lambda: objectives.create('mean_teacher', rampup=2.0), 'rampup: 2.0 is out of range'),
    (lambda: objectives.create('multiscale', stop_target='yes'), "stop_target: 'yes'; allowed"),
    (lambda: augmentation.create('strong', flip=1), 'flip: 1; allowed: true or false'),
    (lambda: augmentation.flip(1.5), 'probability: 1.5 is out of range'),
    (lambda: data.load('folder', 'x', test_fraction=1), 'test_fraction: 1 is out of range'),
    (lambda: networks.create('vit', 5, num_heads=0), 'num_heads: 0 is out of range'),
  ):
    with pytest.raises(UserError) as error:
      call()
    assert str(error.value).startswith(message)


def test_the_configuration_of_a_file_has_no_other_values():
  """Keys that are options are None unless the file sets them."""
  flat = flatten(digits_50.get_config())
  set_ = {key for key, entry in defaults.keys().items() if not entry.declared and flat[key]}
  assert set_ == {'network.blocks_per_group', 'network.width'}
