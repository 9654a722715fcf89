"""The study of robustness: the error on corrupted test images, found again by hand."""

import json

import numpy as np
import pytest

import multiscale_inversion as mi
from experiments import report, robustness
from experiments.reporting import robustness_report
from experiments.reporting.results import read_robust
from experiments.studies import settings
from multiscale_inversion import UserError, data, files
from multiscale_inversion.runs import loop as run
from tests import tiny


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('run')
  corruption = {'data.corruption': 'pattern', 'data.corruption_level': 0.5}
  config = tiny.config(num_steps=2, seed=3, **corruption)
  run.train_and_evaluate(config, str(folder), progress=False)
  return folder


def test_the_error_is_that_of_images_with_the_training_images_pattern(trained):
  found = robustness.measure(str(trained))
  digits = data.load('digits')
  # The pattern from what the training images became: half an image, half the pattern.
  images = digits.train_images.astype(int) * 15
  pattern = 2 * data.corrupt(digits.train_images, 'pattern', 0.5, 3).astype(int) - images
  assert np.ptp(pattern, axis=0).max() <= 2  # one pattern, but for rounding
  corrupted = np.rint((digits.test_images * 15.0 + np.median(pattern, axis=0)) / 2)
  network = mi.load(str(trained))
  error = 100 * np.mean(network.predict(corrupted.astype('uint8')) != digits.test_labels)
  assert found.corrupted_test_error == pytest.approx(error, abs=0.4)
  assert found.run.test_error == pytest.approx(
    100 * np.mean(network.predict(digits.test_images) != digits.test_labels)
  )


def test_the_result_file_and_its_table(trained, tmp_path):
  found = [robustness.measure(str(trained))]
  files.write_json(str(tmp_path / 'runs.json'), [one.to_json() for one in found])
  (again,) = read_robust(str(tmp_path / 'runs.json'))
  assert again.corrupted_test_error == found[0].corrupted_test_error
  row = robustness_report.of_runs([again]).splitlines()[2]
  errors = f'{again.run.error:.2f} | {again.corrupted_test_error:.2f} |'
  assert row.startswith('| pattern 0.5 | ') and row.endswith(errors)
  page = tmp_path / 'page.md'
  page.write_text('<!-- robustness: runs.json -->\n<!-- end of robustness -->\n')
  report.update(str(page))
  assert row in page.read_text()


def test_a_file_of_other_runs(trained, tmp_path):
  (tmp_path / 'runs.json').write_text(json.dumps([tiny.summary()]))
  with pytest.raises(UserError, match='corrupted_test_error'):
    read_robust(str(tmp_path / 'runs.json'))


def test_the_settings():
  names = settings.matching(['digits_50_robustness/*'])
  assert len(names) == 7 * 3 * 3
  config = settings.config('digits_50_robustness/information/4_blocks/pattern_0.25')
  assert config.recipe == 'few_labels' and config.num_epochs == 40
  assert (config.objective.name, config.objective.unlabeled) == ('entropy', 'information')
  assert (config.data.corruption_level, config.network.blocks_per_group) == (0.25, 4)
