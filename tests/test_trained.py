"""The trained network from a run's folder, against its checkpoint and NumPy."""

import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

import multiscale_inversion
from multiscale_inversion import UserError, networks
from multiscale_inversion.checkpoints import Checkpoints
from multiscale_inversion.data import registry as dataset
from multiscale_inversion.runs import build as setup
from multiscale_inversion.runs import loop as run
from tests import tiny

pytestmark = pytest.mark.usefixtures('one_block')


def images_of(count, shape=(8, 8, 1)):
  return np.random.RandomState(0).randint(0, 256, (count, *shape)).astype(np.uint8)


def normalized(images):
  x = images.astype(np.float64)
  x = x - x.mean((1, 2, 3), keepdims=True)
  return (x / np.abs(x).max((1, 2, 3), keepdims=True)).astype(np.float32)


def checkpointed(config, workdir):
  """The network and its variables, by way of the training's own structure."""
  built = setup.build(config)
  found = Checkpoints(str(workdir / 'checkpoints')).restore(built.initial_loop_state())
  return built.training_step.network, found.tree.state.variables()


def softmax(logits):
  shifted = np.exp(logits - logits.max(-1, keepdims=True))
  return shifted / shifted.sum(-1, keepdims=True)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('finished')
  config = tiny.config(num_steps=4)
  run.train_and_evaluate(config, str(workdir))
  return config, workdir


def test_is_the_checkpointed_network(finished):
  config, workdir = finished
  loaded = multiscale_inversion.load(str(workdir))
  network, variables = checkpointed(config, workdir)
  assert loaded.class_names == tuple('0123456789')
  assert loaded.image_shape == (8, 8, 1)
  assert loaded.step == 4
  jax.tree.map(np.testing.assert_array_equal, dict(loaded.variables), variables)

  images = images_of(450)  # more than are taken at once
  wanted = network.apply(variables, normalized(images), train=False)
  probabilities = loaded.predict_proba(images)
  assert isinstance(probabilities, np.ndarray) and probabilities.shape == (450, 10)
  np.testing.assert_allclose(probabilities, softmax(np.asarray(wanted[-1])), atol=1e-5)
  found = loaded.activations(images[:7])
  assert len(found) == len(wanted)
  for z, expected in zip(found, wanted):
    np.testing.assert_allclose(z, expected[:7], rtol=1e-4, atol=1e-5)
  assert loaded.predict_proba(images[:0]).shape == (0, 10)


def test_inverts_in_evaluation(finished):
  """In evaluation each image has a Jacobian of its own: r^(0) = J^T z^(L), by another route."""
  config, workdir = finished
  network, variables = checkpointed(config, workdir)
  images = images_of(3)
  inversion = multiscale_inversion.load(str(workdir)).invert(images)
  x = normalized(images)
  np.testing.assert_allclose(inversion.activations[0], x, atol=1e-6)
  logits = lambda one: network.apply(variables, one[None])[-1][0]
  for one, found in zip(x, inversion.reconstructions[0]):
    jacobian = np.asarray(jax.jacfwd(logits)(one))
    wanted = np.tensordot(np.asarray(logits(one)), jacobian, 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


def test_test_error_of_the_summary(finished):
  _, workdir = finished
  loaded = multiscale_inversion.load(str(workdir))
  digits = dataset.load('digits')
  wrong = loaded.predict_proba(digits.test_images).argmax(-1) != digits.test_labels
  summary = json.loads((workdir / 'summary.json').read_text())
  assert 100 * wrong.mean() == pytest.approx(summary['test_error'])


def test_averaged_parameters_where_these_are_evaluated(tmp_path):
  config = tiny.config(**{'num_steps': 4, 'objective.name': 'mean_teacher'})
  summary = run.train_and_evaluate(config, str(tmp_path)).to_json()
  loaded = multiscale_inversion.load(str(tmp_path))
  _, variables = checkpointed(config, tmp_path)
  trained_kernel, kernel = (v['params']['layers_1']['dense']['kernel'] for v in (
    variables, loaded.variables
  ))
  assert np.abs(trained_kernel - kernel).max() > 1e-4
  trained_means, means = (v['batch_stats']['layers_0']['block']['norm']['mean'] for v in (
    variables, loaded.variables
  ))
  assert np.abs(trained_means - means).max() > 1e-6
  digits = dataset.load('digits')
  wrong = loaded.predict_proba(digits.test_images).argmax(-1) != digits.test_labels
  assert 100 * wrong.mean() == pytest.approx(summary['test_error'])


def test_no_data_set_is_read(finished, monkeypatch):
  def refuse(data_dir):
    raise AssertionError('a data set is read')

  for name in dataset.names():
    monkeypatch.setitem(dataset._DATASETS, name, refuse)
  assert multiscale_inversion.load(str(finished[1])).step == 4


def test_several_seeds(tmp_path):
  """Each seed's network is that of its own run (but for rounding in another program)."""
  run.train_and_evaluate(tiny.config(num_steps=2, seed=3, num_seeds=2), str(tmp_path / 'both'))
  x = images_of(5)
  both = [multiscale_inversion.load(str(tmp_path / 'both'), seed=seed) for seed in (3, 4)]
  for seed, loaded in zip((3, 4), both):
    alone = tmp_path / str(seed)
    run.train_and_evaluate(tiny.config(num_steps=2, seed=seed), str(alone))
    wanted = multiscale_inversion.load(str(alone)).predict_proba(x)
    np.testing.assert_allclose(loaded.predict_proba(x), wanted, atol=1e-3)
  assert np.abs(both[0].predict_proba(x) - both[1].predict_proba(x)).max() > 0.01
  first = multiscale_inversion.load(str(tmp_path / 'both'))
  np.testing.assert_array_equal(first.predict_proba(x), both[0].predict_proba(x))
  with pytest.raises(UserError) as info:
    multiscale_inversion.load(str(tmp_path / 'both'), seed=0)
  assert str(info.value) == f'seed: 0 is none of {tmp_path / "both"}; allowed: 3 to 4'


def test_a_network_without_statistics(tmp_path):
  config = tiny.config(num_steps=1)
  config.network = networks_section(config, name='mlp', depth=1, width=5)
  run.train_and_evaluate(config, str(tmp_path))
  network, variables = checkpointed(config, tmp_path)
  x = images_of(4)
  wanted = softmax(np.asarray(network.apply(variables, normalized(x))[-1]))
  found = multiscale_inversion.load(str(tmp_path)).predict_proba(x)
  np.testing.assert_allclose(found, wanted, atol=1e-5)


def networks_section(config, **options):
  section = config.network.copy_and_resolve_references()
  for key in section:
    section[key] = options.get(key)
  assert {*options} - {'name'} <= {*networks.options(options['name'])}
  return section


def test_an_interrupted_run(tmp_path):
  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(tiny.config(num_steps=50), str(tmp_path), lambda step: step >= 2)
  assert not (tmp_path / 'summary.json').exists()
  assert 2 <= multiscale_inversion.load(str(tmp_path)).step < 50


def test_a_run_does_not_go_on_with_other_data(tmp_path, monkeypatch):
  config = tiny.config(num_steps=50)
  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(config, str(tmp_path), lambda step: step >= 2)
  digits = dataset.load('digits')
  changed = digits._replace(
    train_images=digits.train_images[:-1], train_labels=digits.train_labels[:-1],
    class_names=(*digits.class_names[:-1], 'nine'),
  )
  monkeypatch.setitem(dataset._DATASETS, 'digits', lambda data_dir: changed)
  with pytest.raises(UserError) as info:
    run.train_and_evaluate(config, str(tmp_path))
  assert '\n' not in str(info.value)
  assert str(info.value).startswith(f'{tmp_path} holds a run on other data: class_names was [')
  assert 'num_train was 1297, now 1296' in str(info.value)


def test_errors(finished, tmp_path):
  def message(folder, **options):
    with pytest.raises(UserError) as info:
      multiscale_inversion.load(str(folder), **options)
    assert '\n' not in str(info.value)
    return str(info.value)

  foreign = 'not the folder of a run'
  assert f'{tmp_path}/absent: not there' in message(tmp_path / 'absent')
  assert f'{tmp_path}: {foreign}' in message(tmp_path)
  (tmp_path / 'config.json').write_text('{"seed": 1}')
  assert f'{tmp_path}/config.json: num_seeds is missing' in message(tmp_path)
  shutil.copy(finished[1] / 'config.json', tmp_path)
  assert 'data.json is missing' in message(tmp_path)
  (tmp_path / 'data.json').write_text('{}')
  assert f'{tmp_path}/data.json: class_names is missing' in message(tmp_path)
  (tmp_path / 'data.json').write_text('{')
  assert f'{tmp_path}/data.json: not JSON' in message(tmp_path)
  unfinished = shutil.copytree(finished[1], tmp_path / 'run')
  for step in (unfinished / 'checkpoints').iterdir():
    shutil.rmtree(step)
  assert f'{unfinished}/checkpoints: no checkpoint yet' in message(unfinished)
  shutil.rmtree(unfinished / 'checkpoints')
  assert f'{unfinished}/checkpoints: no checkpoint yet' in message(unfinished)
  assert not (unfinished / 'checkpoints').exists()

  loaded = multiscale_inversion.load(str(finished[1]))
  for shape in [(2, 8, 8, 3), (8, 8, 1), (2, 9, 8, 1)]:
    with pytest.raises(UserError) as info:
      loaded.predict_proba(np.zeros(shape, np.uint8))
    assert str(info.value) == f'images: of shape {shape}; allowed: (N, 8, 8, 1)'


def test_files_and_folders(finished, tmp_path):
  """Each as the data set `folder` reads it; a folder's images in the order of their names."""
  loaded = multiscale_inversion.load(str(finished[1]))
  images = images_of(4)
  (tmp_path / 'more').mkdir()
  names = ['b.png', 'a.png', 'more/c.PNG', 'more/.hidden.png']
  for name, image in zip(names, images):
    Image.fromarray(image[..., 0]).save(tmp_path / name, format='PNG')
  (tmp_path / 'notes.txt').write_text('no image')
  wanted = loaded.predict_proba(images)
  np.testing.assert_array_equal(loaded.predict(tmp_path / 'a.png'), wanted[1:2].argmax(-1))
  np.testing.assert_allclose(loaded.predict_proba(tmp_path), wanted[[1, 0, 2]], atol=1e-6)
  both = [str(tmp_path / 'b.png'), tmp_path / 'more']
  np.testing.assert_allclose(loaded.predict_proba(both), wanted[[0, 2]], atol=1e-6)
  assert loaded.invert(tmp_path).reconstructions[0].shape == (3, 8, 8, 1)
  found = loaded.evaluate(tmp_path, [0, 0, 0])
  assert found.error == pytest.approx(100 * np.mean(wanted[:3].argmax(-1) != 0))
  (tmp_path / 'more' / 'c.PNG').write_bytes(b'no image')
  (tmp_path / 'empty').mkdir()
  for given, message in (
    (tmp_path, r'more/c\.PNG: '), (tmp_path / 'empty', 'empty: no image; allowed: files that end'),
    (tmp_path / 'gone.png', r'gone\.png: '),
  ):
    with pytest.raises(UserError, match=message):
      loaded.predict(given)


def test_any_number_of_observations(finished):
  """In parts, the last one filled up; each observation's result is its own."""
  loaded = multiscale_inversion.load(str(finished[1]))
  images = images_of(530)
  whole = loaded.invert(images)
  assert [z.shape[0] for z in whole.activations] == [530] * len(whole.activations)
  for part in (slice(0, 1), slice(250, 263), slice(511, 530)):
    alone = loaded.invert(images[part])
    for few, all_ in zip(alone.activations + alone.reconstructions, whole.activations
                         + whole.reconstructions):
      np.testing.assert_allclose(few, all_[part], rtol=1e-4, atol=1e-5)
  assert loaded.invert(images[:0]).activations[-1].shape == (0, 10)


def test_few_programs_are_compiled(finished):
  loaded = multiscale_inversion.load(str(finished[1]))
  for count in (*range(1, 257, 5), 256, 1000):
    loaded.predict(np.zeros((count, 8, 8, 1), np.uint8))
  assert loaded._probabilities._cache_size() <= 9  # one for each power of two


def test_one_line(finished):
  loaded = multiscale_inversion.load(str(finished[1]))
  count = sum(leaf.size for leaf in jax.tree.leaves(loaded.variables['params']))
  assert repr(loaded) == (
    f'TrainedNetwork(resnet, {count:,} parameters, observations of 8x8x1, 10 classes, step 4)'
  )
