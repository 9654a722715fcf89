"""Checks of a configuration, and what a run fills in."""

import pytest
from ml_collections import ConfigDict

from experiments import digits_50, mnist_50, svhn_500
from multiscale_inversion import data, networks, objectives
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build as setup
from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.config import chosen_options, flatten, resolve, unknown_key, validate

TOP = (
  'augmentation, batch_size, checkpoint_every_seconds, data, decay_epochs, decay_factor, '
  'decay_reference_epochs, dropout_generator, eval_batch_size, eval_every_epochs, '
  'eval_every_steps, init_from, keep_best, labeled_fraction, learning_rate, log_every_steps, '
  'network, num_devices, num_epochs, num_seeds, num_steps, objective, optimizer, patience, '
  'precision, recipe, rematerialize, schedule, seed, seeds_mode'
)
DATA = (
  'channels, corruption, corruption_level, data_dir, image_size, labels_per_class, max_megapixels, '
  'name, note, num_labeled, num_validation, placement, proportions, test_fraction, unlabeled'
)


def message_of(function, *arguments):
  """The message of the `UserError` that a call raises: one line."""
  with pytest.raises(UserError) as error:
    function(*arguments)
  text = str(error.value)
  assert '\n' not in text
  return text


def changed(changes, get_config=digits_50.get_config):
  config = get_config()
  config.update_from_flattened_dict(changes)
  return config


# resolve


def test_resolve_fills_in_the_networks_defaults():
  network = resolve(svhn_500.get_config()).network.to_dict()
  others = {'depth', 'kernel_size', 'num_heads', 'patch_size'}  # other networks' options
  assert {name for name, value in network.items() if value is None} == others
  assert {name: value for name, value in network.items() if name not in others} == {
    'name': 'resnet', 'blocks_per_group': 3, 'width': 64, 'activation': 'leaky_relu',
    'negative_slope': 0.01, 'pooling': 'mean', 'dropout_rate': 0.2, 'batch_norm_inverse': 'frozen',
    'batch_norm_momentum': 0.9, 'batch_norm_epsilon': 1e-5, 'initializer': 'glorot_uniform',
  }


def test_resolve_keeps_what_is_set():
  network = resolve(changed({'network.activation': 'sigmoid'}, mnist_50.get_config)).network
  assert (network.blocks_per_group, network.width, network.pooling) == (2, 32, 'max')
  assert (network.activation, network.dropout_rate) == ('sigmoid', 0.2)


def test_resolve_leaves_options_that_the_network_does_not_take():
  network = resolve(changed({'network.name': 'large_cnn'}, svhn_500.get_config)).network
  assert (network.blocks_per_group, network.width) == (None, 96)
  assert (network.pooling, network.dropout_rate) == ('mean', 0.2)


@pytest.mark.parametrize(('changes', 'filled'), [
  ({'objective.name': 'supervised'}, {'reduction': 'batch', 'unlabeled': 'entropy'}),
  ({'objective.name': 'multiscale'},
   {'reduction': 'batch', 'stop_target': False, 'unlabeled': 'entropy', 'form': 'output'}),
  ({'objective.name': 'multiscale', 'objective.layers': (0, 2), 'objective.stop_target': True,
    'objective.unlabeled': 'information'},
   {'reduction': 'batch', 'layers': (0, 2), 'stop_target': True, 'unlabeled': 'information',
    'form': 'output'}),
  ({'objective.name': 'convex', 'objective.alpha': 0.5, 'objective.beta': 0.25},
   {'reduction': 'batch', 'alpha': 0.5, 'beta': 0.25, 'normalized': False,
    'unlabeled': 'entropy'}),
], ids=lambda value: '-'.join(map(str, value.values())))
def test_resolve_fills_in_the_objectives_defaults(changes, filled):
  everything = dict.fromkeys(set(defaults.get_config().objective) - {'name'}, None)
  objective = resolve(changed(changes, defaults.get_config)).objective
  assert objective.to_dict() == everything | filled | {'name': changes['objective.name']}


@pytest.mark.parametrize('get_config', [svhn_500.get_config, mnist_50.get_config])
def test_resolved_configuration_means_the_same(get_config):
  config = get_config()
  resolved = resolve(config)
  assert config.to_dict() == get_config().to_dict()  # left as it was
  assert resolve(resolved).to_dict() == resolved.to_dict()
  validate(resolved)
  make_network = lambda c: networks.create(c.network.name, 10, **chosen_options(c.network))
  assert make_network(resolved) == make_network(config)
  objectives.create(resolved.objective.name, **chosen_options(resolved.objective))
  outside = ('network.', 'objective.', 'augmentation.', 'optimizer.', 'schedule.')
  flat, before = flatten(resolved), flatten(config)
  assert [k for k in flat if flat[k] != before[k] and not k.startswith(outside)] == []


def test_chosen_options():
  section = ConfigDict({'name': 'resnet', 'width': 0, 'pooling': None, 'activation': 'relu'})
  assert chosen_options(section) == {'width': 0, 'activation': 'relu'}


def test_flatten():
  config = ConfigDict({'a': 1, 'b': {'c': (2, 3), 'd': {'e': None}}})
  assert flatten(config) == {'a': 1, 'b.c': (2, 3), 'b.d.e': None}


# Options that the network or the objective does not take: refused before any data are read.


@pytest.fixture
def no_data(monkeypatch):
  def load(*unused):
    raise AssertionError('reads data')

  monkeypatch.setattr(data, 'load', load)


@pytest.mark.parametrize(('changes', 'start', 'allowed'), [
  ({'network.name': 'large_cnn', 'network.num_heads': 3},
   'network.num_heads: not an option of large_cnn;', 'dropout_rate'),
  ({'network.name': 'large_cnn', 'network.blocks_per_group': 2},
   'network.blocks_per_group: not an option of large_cnn;', 'pooling'),
  ({'objective.alpha': 0.5}, 'objective.alpha: not an option of multiscale;', 'stop_target'),
  ({'objective.name': 'global', 'objective.layers': (0,)},
   'objective.layers: not an option of global;', 'reduction'),
  ({'objective.name': 'convex', 'objective.alpha': 0.5}, 'objective.beta: convex needs it;',
   '[0, 1]'),
], ids=str)
def test_options_of_others_are_refused(changes, start, allowed, no_data):
  config = changed(changes, svhn_500.get_config)
  validate(config)
  text = message_of(setup.build, config)
  assert text.startswith(start + ' allowed: ')
  assert allowed in text.partition('allowed: ')[2]


def test_data_are_read_where_all_options_fit(no_data):
  with pytest.raises(AssertionError, match='reads data'):
    setup.build(svhn_500.get_config())


@pytest.mark.parametrize(('layers', 'text'), [
  ((0, 4), 'objective.layers: (0, 4); allowed: 0 to 3'),
  ((17,), 'objective.layers: (17,); allowed: 0 to 3'),
  ((0, 3), None),
], ids=str)
def test_layers_are_no_deeper_than_the_network(layers, text):
  config = changed({'objective.layers': layers, 'network.blocks_per_group': 1, 'network.width': 2})
  validate(config)
  if text is None:
    assert setup.build(config).training_step.num_steps == 40 * (1247 // 25)
  else:
    assert message_of(setup.build, config) == text


# Keys


@pytest.mark.parametrize(('key', 'text'), [
  ('foo', f'foo: unknown key; allowed: {TOP}'),
  ('foo.bar', f'foo.bar: unknown key; allowed: {TOP}'),
  ('data.nam', f'data.nam: unknown key, nearest data.name; allowed under data: {DATA}'),
  ('data.name.first', f'data.name.first: unknown key; allowed under data: {DATA}'),
  ('objective.gamma', 'objective.gamma: unknown key; allowed under objective: alignment, alpha, '
   'beta, concentration, decay, decay_after_rampup, epsilon, fairness_weight, form, function, '
   'highest_threshold, layer_weights, layers, lowest_threshold, mapping, name, normalized, '
   'num_augmentations, num_deviations, num_iterations, power, ramp_end, ramp_start, rampup, rate, '
   'reduction, rule, stop_target, temperature, threshold, unlabeled, warmup, weight, xi'),
])
def test_unknown_key(key, text):
  assert unknown_key(key) == text
  config = defaults.get_config()
  if key != 'data.name.first':
    config.update(ConfigDict({'foo': 1} if key == 'foo' else nested(key)))
    assert message_of(validate, config) == text


def nested(key):
  group, name = key.split('.')
  return {group: {name: 1}}


@pytest.mark.parametrize('key', ['seed', 'network.width', 'objective.layers'])
def test_missing_key(key):
  config = defaults.get_config()
  section, _, name = key.rpartition('.')
  del (config[section] if section else config)[name]
  assert message_of(validate, config).startswith(f'{key}: missing')


# Values


@pytest.mark.parametrize(('key', 'value', 'allowed'), [
  ('data.name', 'imagenet', 'digits, mnist'),
  ('data.unlabeled', 'some', 'rest, all'),
  ('data.channels', 2, '1, 3'),
  ('network.name', 'vgg', 'large_cnn, resnet'),
  ('network.activation', 'swish', 'leaky_relu'),
  ('network.pooling', 'min', 'mean, max'),
  ('network.batch_norm_inverse', 'none', 'frozen, batch, running'),
  ('network.initializer', 'zeros', 'glorot_uniform'),
  ('objective.name', 'vat', 'supervised, entropy, global, multiscale, convex'),
  ('objective.reduction', 'sum', 'batch, group'),
  ('objective.unlabeled', 'balance', 'entropy, information, none'),
])
def test_choices(key, value, allowed):
  text = message_of(validate, changed({key: value}))
  assert text.startswith(f'{key}: unknown {value!r}; allowed: ')
  assert allowed in text.partition('allowed: ')[2]


@pytest.mark.parametrize(('key', 'good', 'bad', 'allowed'), [
  ('data.num_labeled', 1, 0, '[1, '),
  ('data.image_size', 1, 0, '[1, '),
  ('data.test_fraction', 0.5, 1.0, '[1e-06, 1)'),
  ('data.max_megapixels', 1000.0, 0.0, '[1e-06, '),
  ('network.blocks_per_group', 1, 0, '[1, '),
  ('network.width', 1, 0, '[1, '),
  ('network.negative_slope', 0.0, -0.1, '[0, 1]'),
  ('network.dropout_rate', 0.0, 1.0, '[0, 1)'),
  ('network.batch_norm_momentum', 0.0, 1.0, '[0, 1)'),
  ('network.batch_norm_epsilon', 1e-3, -1e-5, '[0, 1]'),
  ('objective.alpha', 1.0, 1.1, '[0, 1]'),
  ('objective.beta', 0.0, -0.1, '[0, 1]'),
  ('seed', 2**31 - 1, 2**31, '[0, 2147483647]'),
  ('seed', 0, -1, '[0, 2147483647]'),
  ('batch_size', 2, 1, '[2, '),
  ('labeled_fraction', 0.9, 1.5, '[0, 1]'),
  ('num_epochs', 1, 0, '[1, '),
  ('num_steps', 1, 0, '[1, '),
  ('learning_rate', 1e-6, 0.0, '[1e-12, '),
  ('learning_rate', 1e6, float('nan'), '[1e-12, '),
  ('decay_reference_epochs', 1, 0, '[1, '),
  ('decay_factor', 1.0, 1.5, '1]'),
  ('eval_every_epochs', 1, 0, '[1, '),
  ('eval_batch_size', 1, 0, '[1, '),
  ('log_every_steps', 1, 0, '[1, '),
  ('checkpoint_every_seconds', 0.0, -1.0, '[0, '),
])
def test_ranges(key, good, bad, allowed):
  validate(changed({key: good}))
  text = message_of(validate, changed({key: bad}))
  assert text.startswith(f'{key}: {bad!r} is out of range; allowed: ')
  assert allowed in text.partition('allowed: ')[2]


@pytest.mark.parametrize(('key', 'good', 'bad'), [
  ('objective.layers', (0,), ()),
  ('objective.layers', (3, 0), (0, 0)),
  ('objective.layers', (0, 6), (-1,)),
  ('objective.layers', (2,), (1.5,)),
  ('objective.layers', (1,), ('a',)),
  ('decay_epochs', (), (0,)),
  ('decay_epochs', (1, 400), (300, 150)),
  ('decay_epochs', (150,), (150, 150)),
  ('decay_epochs', (1,), ('a',)),
  ('decay_epochs', (2,), (1.5,)),
], ids=str)
def test_tuples(key, good, bad):
  validate(changed({key: good}))
  text = message_of(validate, changed({key: bad}))
  assert text.startswith(f'{key}: {bad!r}; allowed: a tuple of')
