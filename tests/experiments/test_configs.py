"""Every configuration file: what it says, how it differs from the protocol, and that it trains."""

import functools
import importlib
import json
import math
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import experiments
from experiments import digits_methods, digits_topologies
from multiscale_inversion import networks, objectives, parallel, training
from multiscale_inversion.data import augmentation
from multiscale_inversion.data import registry as dataset
from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.config import chosen_options, flatten, resolve, validate
from multiscale_inversion.runs.loop import train_and_evaluate

FOLDER = pathlib.Path(experiments.__file__).parent
MAKES_CONFIG = re.compile(r'^(def|from \S+ import) get_config\b', re.MULTILINE)
FILES = [
  path.stem for path in FOLDER.glob('*.py')
  if path.stem != 'defaults' and MAKES_CONFIG.search(path.read_text())
]
# A file that makes several configurations by a word: each of its own networks, one of its methods.
NAMES = sorted(
  name for file in FILES for name in (
    [f'{file}:{network}' for network in digits_topologies.NETWORKS]
    if file == 'digits_topologies' else [file]
  )
)
IMAGE_SHAPES = {
  'digits': (8, 8, 1), 'mnist': (28, 28, 1), 'svhn_cropped': (32, 32, 3), 'cifar10': (32, 32, 3),
  'folder': (32, 32, 3),
}
# What the paper says of each file's setting: its table, and the published error (for MNIST, as
# printed, the accuracy too) of this network and objective.
PUBLISHED = {
  'cifar10_4000': ('Table 3', '22.63 +- 0.44 %'),
  'cifar10_8000': ('Table 3', '17.92 +- 0.3 %'),
  'mnist_50': ('Table 1', '99.14 % (error 0.86 %)'),
  'svhn_1000': ('Table 2', '7.14 +- 0.3 %'),
  'svhn_500': ('Table 2', '9.82 +- 1.5 %'),
}
# Data set, labels, network, objective; layers, and the network's parameters at full size (the
# Resnets' by the formula in test_networks_have_the_papers_sizes).
SETTINGS = {
  'cifar10_4000': ('cifar10', 4000, 'large_cnn', 'multiscale', 9, 1_370_986),
  'cifar10_8000': ('cifar10', 8000, 'large_cnn', 'multiscale', 9, 1_370_986),
  'cifar10_fixmatch': ('cifar10', 4000, 'large_cnn', 'fixmatch', 9, 1_370_986),
  'cifar10_methods': ('cifar10', 4000, 'large_cnn', 'fixmatch', 9, 1_370_986),
  'digits_50': ('digits', 50, 'resnet', 'multiscale', 7, (1, 2, 32)),
  'digits_methods': ('digits', 50, 'resnet', 'fixmatch', 7, (1, 2, 32)),
  # By hand: kernels, scales and biases of each layer, and the classifier.
  'digits_topologies:mlp': (
    'digits', 200, 'mlp', 'multiscale', 4, 64 * 256 + 2 * 256**2 + 3 * 512 + 2570
  ),
  'digits_topologies:cnn_1d': (
    'digits', 200, 'cnn_1d', 'multiscale', 4,
    5 * (8 * 32 + 32 * 64 + 64 * 128) + 2 * (32 + 64 + 128) + 1290,
  ),
  'digits_topologies:lstm': (
    'digits', 200, 'lstm', 'multiscale', 3, 4 * 64 * (8 + 64 + 1) + 4 * 64 * (64 + 64 + 1) + 650
  ),
  # Its gates have one bias each for their input, and the candidate's state one of its own.
  'digits_topologies:gru': (
    'digits', 200, 'gru', 'multiscale', 3,
    3 * 64 * (8 + 64 + 1) + 64 + 3 * 64 * (64 + 64 + 1) + 64 + 650,
  ),
  # Patches and positions; three blocks of attention, perceptron and two norms; the last norm.
  'digits_topologies:vit': (
    'digits', 200, 'vit', 'multiscale', 5,
    (4 + 1 + 16) * 64 + 3 * (4 * 65 * 64 + 65 * 256 + 257 * 64 + 256) + 128 + 650,
  ),
  'folder': ('folder', None, 'resnet', 'multiscale', 7, (3, 2, 32)),
  'mnist_50': ('mnist', 50, 'resnet', 'convex', 7, (1, 2, 32)),
  'mnist_50_few_labels': ('mnist', 50, 'resnet', 'multiscale', 7, (1, 2, 16)),
  'svhn_1000': ('svhn_cropped', 1000, 'resnet', 'multiscale', 10, (3, 3, 64)),
  'svhn_500': ('svhn_cropped', 500, 'resnet', 'multiscale', 10, (3, 3, 64)),
}
# The other rows of the tables that a docstring says how to run: error, and what changes.
ROWS = {
  'cifar10_4000': {
    '21.91': {'network.activation': 'sigmoid'},
    '23.71': {'network.name': 'resnet'},
    '28.64': {'network.name': 'resnet', 'network.blocks_per_group': 6, 'network.width': 32},
    '25.19': {'objective.name': 'global'},
  },
  'svhn_500': {
    '10.17': {'network.name': 'large_cnn'},
    '11.08': {'network.blocks_per_group': 6, 'network.width': 32},
    '12.36': {'objective.name': 'global'},
    '20.35': {'network.activation': 'sigmoid'},
  },
}
OTHER_ERRORS = {
  'cifar10_8000': ['16.45 +- 0.23', '19.63', '24.53', '19.96', '21.24', '21.99'],
  'svhn_1000': ['7.20', '8.28', '7.78 +- 0.2', '9.51', '10.17', '11.27'],
}
SUMMARY = {
  'test_error', 'num_parameters', 'num_steps', 'num_epochs', 'wall_time_s', 'seed', 'dataset',
  'network', 'objective', 'num_labeled', 'config', 'hardware', 'versions', 'commit', 'commit_dirty',
}


def module_of(name):
  return importlib.import_module(f'experiments.{name.partition(":")[0]}')


def config_of(name):
  return module_of(name).get_config(*name.split(':')[1:])


def one_line(text):
  return ' '.join(text.split())


def test_every_file_is_expected():
  assert sorted(SETTINGS) == NAMES
  ours = {name for name in SETTINGS if name.startswith('digits')} | {
    'cifar10_fixmatch', 'cifar10_methods', 'folder', 'mnist_50_few_labels',
  }
  assert sorted(PUBLISHED) == sorted(set(SETTINGS) - ours)


@pytest.mark.parametrize('name', NAMES)
def test_validates_and_is_a_new_object(name):
  config = config_of(name)
  validate(config)
  validate(resolve(config))
  config.seed += 1
  config.data.num_labeled = 7
  assert config_of(name).seed == 0
  assert config_of(name).data.num_labeled == SETTINGS[name][1]


@pytest.mark.parametrize('name', NAMES)
def test_is_a_small_difference_from_the_protocol(name):
  config, protocol = flatten(config_of(name)), flatten(defaults.get_config())
  assert set(config) == set(protocol)
  changed = {key for key in config if config[key] != protocol[key]}
  allowed = r'data\.(name|num_labeled)|network\..*|objective\.(name|alpha|beta)'
  if name not in PUBLISHED:
    allowed += r'|recipe|num_epochs|num_steps|objective\.(reduction|unlabeled)|augmentation\.weak'
  if name == 'cifar10_fixmatch':  # its authors' protocol
    allowed += r'|batch_size|labeled_fraction|data\.unlabeled|augmentation\.(strong|max_shift)'
    allowed += r'|schedule\.name|optimizer\.average_decay|learning_rate'
    allowed += r'|optimizer\.(name|nesterov|weight_decay)'
  assert [key for key in changed if not re.fullmatch(allowed, key)] == []
  assert len(changed) <= (15 if name == 'cifar10_fixmatch' else 11)


def test_protocol():
  """Section 3.1."""
  config = defaults.get_config()
  assert (config.learning_rate, config.batch_size, config.num_epochs) == (0.002, 50, 400)
  assert (config.decay_epochs, config.decay_reference_epochs) == ((150, 300), 400)
  assert (config.decay_factor, config.labeled_fraction) == (0.5, 0.5)
  assert (config.data.unlabeled, config.num_steps, config.seed) == ('rest', None, 0)


@pytest.mark.parametrize('name', NAMES)
def test_docstring(name):
  doc = module_of(name).__doc__
  needed = ' --config.data.data_dir=DIR' if name == 'folder' else ''
  file = name.partition(':')[0]
  command = rf'\n    python -m experiments.main --config=experiments/{file}\.py(:\S+)?{needed}\n'
  assert re.search(command, doc)
  labels = 'all labels' if name == 'folder' else f'{SETTINGS[name][1]:,} labels'
  assert labels in doc.splitlines()[0]
  if name in PUBLISHED:
    table, error = PUBLISHED[name]
    assert table in doc.splitlines()[0]
    statement = re.search(r'Published (?:error|accuracy) ([^,.]*\.[^,.]*(?:\.\d[^,.]*)?)', doc)
    assert statement[1].startswith(error), statement[1]
    assert all(error in one_line(doc) for error in OTHER_ERRORS.get(name, []))


@pytest.mark.parametrize('file', ['digits_methods', 'cifar10_methods'])
@pytest.mark.parametrize('method', [
  *digits_methods.METHODS, *(f'{name}+multiscale' for name in digits_methods.METHODS[2:])
])
def test_methods(file, method):
  config = module_of(file).get_config(method)
  validate(config)
  objective = objectives.create(method, **chosen_options(config.objective))
  assert objective.inverts == method.endswith('multiscale')
  assert config.augmentation.weak != 'none'


def test_fixmatch_of_its_authors():
  """Section 4.1 and Table 4: 64 labeled and 7 x 64 unlabeled images, of the whole training set."""
  config = config_of('cifar10_fixmatch')
  assert parallel.shares(config.batch_size, config.labeled_fraction) == (64, 7 * 64)
  options = chosen_options(config.augmentation, ('weak', 'strong'))
  for view in ('weak', 'strong'):
    assert 'max_shift' in augmentation.options(config.augmentation[view])
  assert options == {'max_shift': 4}  # an eighth of the edge
  optimizer = {'nesterov': True, 'weight_decay': 0.0005, 'average_decay': 0.999}
  assert chosen_options(config.optimizer, ('name', 'clip_norm', 'accumulate_steps')) == optimizer
  assert (config.optimizer.name, config.learning_rate) == ('sgd', 0.03)
  assert training.optimizers.defaults('sgd')['momentum'] == 0.9
  defaults_of_loss = objectives.defaults('fixmatch')
  assert (defaults_of_loss['weight'], defaults_of_loss['threshold']) == (1, 0.95)


def rows_of(doc):
  """The rows of a docstring: by published error, the changes that they make."""
  rows, error = {}, None
  for line in doc.splitlines():
    head = re.match(r' {4}\w[^:]*: (\d+\.\d+)', line)
    error = head[1] if head else error
    for key, value in re.findall(r'--config\.([\w.]+)=(\S+)', line) if error else ():
      rows.setdefault(error, {})[key] = int(value) if value.isdigit() else value
  return rows


@pytest.mark.parametrize('name', NAMES)
def test_other_rows_of_the_table(name):
  rows = rows_of(module_of(name).__doc__)
  assert rows == ROWS.get(name, {})
  for changes in rows.values():
    config = config_of(name)
    config.update_from_flattened_dict(changes)
    validate(config)
    networks.create(config.network.name, 10, **chosen_options(config.network))
    objectives.create(config.objective.name, **chosen_options(config.objective))


def resnet_parameters(channels, blocks_per_group, width):
  count = 0
  for group in range(3):
    for _ in range(blocks_per_group):
      filters = width * 2**group
      count += 9 * channels * filters + 2 * filters + channels * filters
      channels = filters
  return count + channels * 10 + 10


@pytest.mark.parametrize('name', NAMES)
def test_networks_have_the_papers_sizes(name):
  data, num_labeled, network_name, objective, num_layers, size = SETTINGS[name]
  config = config_of(name)
  assert (config.data.name, config.data.num_labeled) == (data, num_labeled)
  assert (config.network.name, config.objective.name) == (network_name, objective)
  network = networks.create(config.network.name, 10, **chosen_options(config.network))
  x = jnp.zeros((1, *IMAGE_SHAPES[data]))
  variables = jax.eval_shape(network.init, jax.random.key(0), x)
  activations = jax.eval_shape(network.apply, variables, x)
  assert len(activations) == num_layers + 1
  count = sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
  assert count == (size if isinstance(size, int) else resnet_parameters(*size))


def test_sizes_are_near_the_printed_ones():
  assert round(resnet_parameters(3, 3, 64) / 1e6, 3) == 2.137
  assert round(resnet_parameters(3, 6, 32) / 1e6, 3) == 1.183
  assert round(resnet_parameters(1, 2, 32) / 1e6, 2) == 0.32


def test_mnist_setting():
  config = config_of('mnist_50')
  assert (config.objective.alpha, config.objective.beta) == (0.7, 0.2)
  assert config.network.pooling == 'max'


def mock_loader(name):
  """A loader with the options of the data set's own."""
  return functools.wraps(dataset._DATASETS[name])(lambda data_dir, **options: mock_dataset(name))


def mock_dataset(name):
  random = np.random.default_rng(0)
  draw = lambda count: random.integers(0, 256, (count, *IMAGE_SHAPES[name]), np.uint8)
  labels = lambda count: np.arange(count, dtype=np.int32) % 10
  classes = tuple(map(str, range(10)))
  return dataset.Dataset(name, draw(40), labels(40), draw(7), labels(7), classes)


def shrunk_config_of(name):
  config = config_of(name)
  config.data.num_labeled = 10
  config.num_steps = 2
  config.batch_size = config.eval_batch_size = 4
  config.labeled_fraction, config.data.unlabeled = 0.5, 'rest'
  config.network.width = 4 if config.network.name == 'vit' else 2
  if config.network.name == 'resnet':
    config.network.blocks_per_group = 1
  return config


@pytest.fixture(scope='module')
def train(tmp_path_factory, quick_compilation):
  """Trains a configuration on a mock data set; those that shrink to the same one once."""
  finished = {}

  def train_once(config):
    key = config.to_json()
    if key not in finished:
      name, workdir = config.data.name, tmp_path_factory.mktemp('run')
      with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dataset._DATASETS, name, mock_loader(name))
        finished[key] = workdir, train_and_evaluate(config, str(workdir))
    return finished[key]

  return train_once


@pytest.mark.parametrize('name', NAMES)
def test_trains_two_steps(name, train):
  config = shrunk_config_of(name)
  # Those of Resnets are one block a group here.
  num_layers = 4 if config.network.name == 'resnet' else SETTINGS[name][4]
  num_epochs = 2 / (30 // (config.batch_size // 2))  # 30 images are unlabeled

  workdir, returned = train(config)

  summary = json.loads((workdir / 'summary.json').read_text())
  assert set(summary) >= SUMMARY
  assert summary == returned.to_json()
  (record,) = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
  expected = {'train/cross_entropy', 'train/entropy', 'train/reconstruction', 'test/error'}
  layers = {f'train/reconstruction/{layer}' for layer in range(num_layers)}
  assert {key for key in record if key.startswith('train/reconstruction/')} == layers
  for key in expected | layers:
    assert math.isfinite(record[key]), key
  assert (record['step'], record['epoch']) == (2, round(num_epochs, 4))

  assert summary['test_error'] == record['test/error']
  assert summary['test_error'] in [pytest.approx(100 * wrong / 7) for wrong in range(8)]
  assert (summary['num_steps'], summary['num_epochs']) == (2, num_epochs)
  assert (summary['dataset'], summary['num_labeled']) == (config.data.name, 10)
  assert summary['seed'] == 0
  assert summary['network'] == config.network.name == summary['config']['network']['name']
  assert summary['objective'] == config.objective.name
  assert summary['num_parameters'] > 0 and summary['wall_time_s'] > 0
  assert summary['config'] == json.loads((workdir / 'config.json').read_text())
  assert summary['hardware']['platform'] == jax.default_backend()
  assert summary['versions']['jax'] == jax.__version__
  assert list((workdir / 'checkpoints').iterdir()) and list(workdir.glob('events.out.*'))
