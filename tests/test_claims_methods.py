"""What pages and docstrings say of the paper's tables and of the methods of others."""

import collections
import statistics

import numpy as np
import pytest
from sklearn.datasets import load_digits

from experiments import cifar10_methods, digits_methods
from experiments.studies import paper
from experiments.studies.images import EQUAL_TIME
from multiscale_inversion import objectives
from multiscale_inversion.data.augmentation import strong as strong_augmentation
from tests.claims import RESULTS_PAGE, errors_of, mean, p_value, paired, runs_of, says

NETWORKS = ('large_cnn', 'resnet', 'mlp', 'cnn_1d', 'lstm', 'gru', 'vit')


def row_of(method):
  """Cells of the lines of a method in the table of what differs from its paper."""
  lines = RESULTS_PAGE.read_text(encoding='utf-8').splitlines()
  start = lines.index(next(line for line in lines if line.startswith('| method | as in its paper')))
  rows, name = collections.defaultdict(list), None
  for line in lines[start + 2 :]:
    if not line.startswith('|'):
      break
    cells = [cell.strip() for cell in line.strip('|').split('|')]
    name = cells[0] or name
    rows[name].append(cells[1:])
  return rows[method]


# The paper's tables.

MEANS = [
  # table, row, labels, the three rows, which deviation is printed.
  (2, 'Mean, multiscale', ('Large CNN', 'Deep Resnet', 'Wide Resnet'), statistics.pstdev),
  (2, 'Mean, global', ('Large CNN', 'Wide Resnet', 'Deep Resnet'), statistics.stdev),
  (3, 'Mean, multiscale', ('CNN', 'Wide Resnet', 'Deep Resnet'), statistics.pstdev),
  (3, 'Mean, global', ('CNN', 'Deep Resnet', 'Wide Resnet'), statistics.stdev),
]


@pytest.mark.parametrize(('table', 'label', 'networks', 'deviation'), MEANS)
def test_mean_rows_follow_the_three_rows_above(table, label, networks, deviation):
  rows = paper.TABLES[table].rows
  (index,) = [index for index, row in enumerate(rows) if row.label == label]
  objective = label.removeprefix('Mean, ')
  above = rows[index - 3 : index]
  assert [row.label for row in above] == [f'{network}, {objective}' for network in networks]
  assert rows[index].changes is None  # no setting of ours
  for labels, printed in rows[index].published.items():
    values = [row.published[labels].mean for row in above]
    assert printed.mean == pytest.approx(statistics.mean(values), abs=0.01)
    if (table, label, labels) == (3, 'Mean, global', 4000):
      assert printed.deviation == 0.79
      assert f'that ({statistics.stdev(values):.2f})' in rows[index].note
      assert f"population's ({statistics.pstdev(values):.2f})" in rows[index].note
    else:
      assert printed.deviation == pytest.approx(deviation(values), abs=0.01)


def test_published_rows_say_which_are_augmented():
  notes = {(t, r.label): r.note for t, table in paper.TABLES.items() for r in table.rows}
  assert notes[2, 'VAT (2017)'].startswith('with augmentation')
  for table in (2, 3):
    assert notes[table, 'Pi model'].startswith('without augmentation; with it ')
  augmented = notes[3, 'Pi model'].rsplit(' with it ', 1)[1]
  assert f'Pi model {augmented.replace("±", "+-")} %' in cifar10_methods.__doc__


# The methods of others.


def test_options_of_methods_are_those_that_the_page_lists():
  default = objectives.registry.defaults
  said = {m: ' '.join(cell for cells in row_of(m) for cell in (cells[0], cells[2])) for m in (
    'pseudo label', 'Pi model', 'temporal ensembling', 'virtual adversarial', 'mean teacher',
    'FixMatch',
  )}  # fmt: skip
  options = default('pseudo_label')
  assert f'weight {options["weight"]:g}' in said['pseudo label']
  assert f'from {options["ramp_start"]} to {options["ramp_end"]} of' in said['pseudo label']
  for name, method in (('Pi model', 'pi_model'), ('mean teacher', 'mean_teacher')):
    assert f'weight {default(method)["weight"]:g}' in said[name]
    assert f'{default(method)["rampup"]} of the training' in said[name]
  options = default('temporal_ensembling')
  assert f'weight {options["weight"]:g}, decay {options["decay"]}' in said['temporal ensembling']
  assert options['rampup'] == default('pi_model')['rampup']
  assert f'{default("mean_teacher")["decay"]} throughout' in said['mean teacher']
  options = default('virtual_adversarial')
  assert (options['weight'], options['num_iterations']) == (1, 1)
  assert f'{options["xi"]}: 1e-6' in said['virtual adversarial']
  options = default('fixmatch')
  assert f'weight {options["weight"]:g}, threshold {options["threshold"]}' in said['FixMatch']
  low, high = strong_augmentation.ENHANCEMENT
  assert f'to {high}' in said['FixMatch'] and low == 0.05
  (steps,) = {run['num_steps'] for run in runs_of('digits_methods')}
  assert f'these {steps:,} steps' in said['mean teacher']


def test_the_reason_given_for_epsilon():
  """The norms of normalized images, by NumPy; CIFAR-10's, of 21.34, is not at hand everywhere."""
  x = load_digits().images[np.random.RandomState(0).permutation(1797)[:1297]].reshape(1297, -1)
  x = x - x.mean(1, keepdims=True)
  norm = np.linalg.norm(x / np.abs(x).max(1, keepdims=True), axis=1).mean()
  eight = cifar10_methods.get_config('virtual_adversarial').objective.epsilon
  proportion = f'{eight * norm / 21.34:.2f}'
  says(RESULTS_PAGE, f'8 for CIFAR-10 would be {proportion} here: 8 x {norm:.2f} / 21.34')
  doc = ' '.join(digits_methods.__doc__.split())
  assert f"CIFAR-10's {eight:g} in proportion" in doc and f'would be {proportion}.' in doc
  assert digits_methods.get_config('virtual_adversarial').objective.epsilon == 1


def test_methods_alone_and_with_multiscale():
  errors = errors_of('digits_methods')
  compared = ('pi_model', 'temporal_ensembling', 'virtual_adversarial', 'mean_teacher', 'fixmatch')
  for name in (*compared, 'supervised'):
    assert p_value(errors[f'{name}+multiscale'], errors[name]) > 0.05, name
  ratios = {name: mean(errors[name]) / mean(errors['supervised']) for name in compared}
  helped = ('entropy', 'pseudo_label')
  gains = [p_value(errors[name], errors[f'{name}+multiscale']) for name in helped]
  rivals = [paired(errors['entropy+multiscale'], errors[name]) for name in compared]
  pi, _, _, teacher, fixmatch = (f'{value:.2f} ± {error:.2f}' for value, error in rivals)
  says(
    RESULTS_PAGE,
    f'(p = {gains[0]:.1g}) and of pseudo-labels (p = {gains[1]:.1g})',
    f'that of the Pi model: {pi}, of mean teacher: {teacher}, of FixMatch: {fixmatch})',
    f'reach {min(ratios.values()):.2f} to {max(ratios.values()):.2f} of the supervised error',
  )
  assert all(p_value(errors['entropy+multiscale'], errors[name]) > 0.05 for name in compared)
  assert paired(errors['pseudo_label'], errors['supervised'])[0] > 0


def test_steps_of_equal_time():
  times = runs_of('benchmark_methods_mnist')['measured']['times']
  seconds = {name: time['median_s'] for name, time in times.items()}
  whole = 3000 * seconds['entropy+multiscale']
  assert {name: 100 * round(whole / step / 100) for name, step in seconds.items()} == EQUAL_TIME
