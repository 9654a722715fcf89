"""What the pages say of our own results and of times, against the result files."""

import collections
import math
import statistics

import numpy as np

from tests.claims import RESULTS_PAGE, ROOT, errors_of, mean, p_value, paired, runs_of, says

# The digits.


def test_multiscale_beside_the_other_objectives():
  leads, chances = {}, {}
  for name in ('digits_20', 'digits_50', 'digits_100', 'digits_200', 'digits_50_paper'):
    errors = errors_of(name)
    assert min(errors, key=lambda objective: mean(errors[objective])) == 'multiscale'
    leads[name] = paired(errors['global'], errors['multiscale'])
    chances[name] = p_value(errors['global'], errors['multiscale'])
  assert all(p > 0.05 for name, p in chances.items() if name != 'digits_200')
  assert chances['digits_200'] < 0.001
  lead = {name: f'{value:.2f}' for name, (value, _) in leads.items()}
  says(
    RESULTS_PAGE,
    f'({lead["digits_20"]}, {lead["digits_50"]} and {lead["digits_100"]} points). With 200 '
    f'labels the lead is {lead["digits_200"]} points, which is beyond chance (p < 0.001, four '
    'seeds)',
    f'its paired difference uncertain (p = {chances["digits_50_paper"]:.2g})',
  )
  of_paper = errors_of('digits_50_paper')
  for seed in range(8):
    assert of_paper['multiscale'][seed] < of_paper['global'][seed]
  assert max(of_paper['global'], key=of_paper['global'].get) == 7
  best = errors_of('digits_50')
  assert mean(best['multiscale']) < 4 < mean(of_paper['multiscale'])
  for name in ('supervised', 'entropy'):
    assert mean(best[name]) > mean(best['multiscale'])
    assert p_value(best[name], best['multiscale']) < 0.05
  says(RESULTS_PAGE, f'(p = {p_value(of_paper["entropy"], of_paper["multiscale"]):.2g})')
  for name in ('digits_20', 'digits_50', 'digits_100', 'digits_200'):
    errors = errors_of(name)
    assert mean(errors['multiscale']) < mean(errors['supervised']) / 2
  for name in ('digits_50', 'digits_50_paper'):
    assert p_value(errors_of(name)['entropy'], errors_of(name)['supervised']) > 0.05


def test_the_ablation():
  def change(run):
    config = run['config']
    return (
      run['objective'], config['objective']['form'], config['objective']['unlabeled'],
      config['objective']['reduction'], config['objective']['stop_target'],
      str(config['objective'].get('layers')), config['network']['batch_norm_inverse'],
      config['labeled_fraction'], config['data']['unlabeled'], config['objective'].get('rule'),
    )  # fmt: skip

  found = list(errors_of('digits_50_ablation', change).items())
  base, settings = found[0][1], dict(found[1:])

  def one(**wanted):
    places = {'form': 1, 'unlabeled': 2, 'reduction': 3, 'stop': 4, 'layers': 5, 'rule': 9}
    (key,) = [k for k in settings if all(k[places[name]] == v for name, v in wanted.items())]
    value, error = paired(settings[key], base)
    return f'{abs(value):.2f} ± {error:.2f}', value

  says(
    RESULTS_PAGE,
    f'on the four seeds {one(unlabeled="none")[0]} more',
    f'{one(unlabeled="information")[0]} less (within chance on these four',
    f'{one(layers="[4, 5, 6]")[0]} less, lower on three of four seeds',
    f'{one(form="input")[0]} more, worse on every seed',
    f'{one(form="layer")[0]} more',
    f'{one(stop=True)[0]} on the mean (within chance)',
    f'(-{one(reduction="group")[0]})',
    f'the error stays ({one(rule="gradient")[0]} more)',
  )
  for values in settings.values():  # no default loses beyond chance
    assert paired(values, base)[0] > 0 or p_value(values, base) > 0.05
  costs = [paired(v, base)[0] for v in settings.values() if max(v.values()) < 30]
  assert sorted(costs)[-2:] == [one(unlabeled='none')[1], one(form='input')[1]]


def test_other_networks_gain_the_more_the_worse_they_are():
  errors = errors_of('digits_topologies', lambda run: (run['network'], run['objective']))
  names = sorted({network for network, _ in errors}, key=lambda n: -mean(errors[n, 'supervised']))
  gains = [mean(errors[n, 'supervised']) - mean(errors[n, 'multiscale']) for n in names]
  assert gains == sorted(gains, reverse=True)
  value, error = paired(errors['mlp', 'supervised'], errors['mlp', 'multiscale'])
  says(RESULTS_PAGE, f"The perceptron's gain ({value:.2f} ± {error:.2f}) is within chance")
  apart = {name: paired(errors[name, 'entropy'], errors[name, 'multiscale']) for name in names}
  chance = {name: p_value(errors[name, 'entropy'], errors[name, 'multiscale']) for name in names}
  leads = [f'{apart[name][0]:.2f} ± {apart[name][1]:.2f}' for name in ('vit', 'lstm', 'gru')]
  behind = [f'{-apart[name][0]:.2f} ± {apart[name][1]:.2f}' for name in ('mlp', 'cnn_1d')]
  left = [f'{mean(errors[name, "entropy"]):.2f} %' for name in ('vit', 'lstm', 'gru')]
  assert all(chance[name] < 0.05 and apart[name][0] > 0 for name in ('vit', 'lstm', 'gru'))
  assert all(chance[name] > 0.05 for name in ('mlp', 'cnn_1d'))
  says(
    RESULTS_PAGE,
    f'leaves the transformer at {left[0]}, the LSTM at {left[1]} and the GRU at {left[2]}; '
    f'multiscale is {leads[0]}, {leads[1]} and {leads[2]} points below, each beyond chance',
    f'{behind[0]} and {behind[1]} points below multiscale, which is within chance '
    f'(p = {chance["mlp"]:.2g} and {chance["cnn_1d"]:.2g})',
  )
  for network in names:
    both, alone = (
      mean_text(list(errors[network, name].values())) for name in ('multiscale', 'supervised')
    )
    says(ROOT / 'experiments/digits_topologies.py', f'{network} {both} % {alone} %')


def mean_text(values):
  return f'{statistics.mean(values):.2f} +- {statistics.stdev(values):.2f}'


def test_mnist_with_fifty_labels():
  errors = errors_of(
    'mnist_50_few_labels',
    lambda run: (run['objective'], run['config']['objective'].get('unlabeled')),
  )
  multiscale, alone = errors['multiscale', 'information'], errors['entropy', 'information']
  whole = errors['global', 'information']
  supervised, of_paper = errors['supervised', 'information'], errors['entropy', 'entropy']
  assert len(errors) == 5 and {len(column) for column in errors.values()} == {8}
  assert all(p_value(column, multiscale) < 0.001 for column in (alone, supervised, of_paper))
  assert p_value(whole, multiscale) < 0.05
  apart, uncertainty = paired(whole, multiscale)
  says(
    RESULTS_PAGE,
    f'The error of multiscale is {mean(multiscale):.2f} %, that of information alone '
    f'{mean(alone):.2f} %, of the supervised loss {mean(supervised):.2f} % and the paper\'s '
    f'entropy alone {mean(of_paper):.2f} %',
    f'{apart:.2f} points above multiscale, with a standard error of {uncertainty:.2f} '
    f'(p = {p_value(whole, multiscale):.2g})',
    f'its error is {mean(multiscale):.0f} % where that of the supervised loss is '
    f'{mean(supervised):.0f} %',
  )
  says(
    ROOT / 'README.md',
    f'MNIST with 50 labels the error of multiscale is {mean(multiscale):.2f} %, of `global` '
    f'{mean(whole):.2f} % and of labels alone {mean(supervised):.2f} %',
  )
  # The input's loss. The mean square of MNIST's normalized images is 0.128; no test needs the data.
  ends = {
    objective: [
      run['train']['train/reconstruction/0']
      for run in runs_of('mnist_50_few_labels') if run['objective'] == objective
    ]
    for objective in ('multiscale', 'global')
  }
  assert min(ends['multiscale']) > 0.12
  says(
    RESULTS_PAGE,
    f'stays at {min(ends["multiscale"]):.2f} to {max(ends["multiscale"]):.2f}',
    f'does reconstruct them ({min(ends["global"]):.3f} to {max(ends["global"]):.3f})',
  )


def test_fashion_mnist_with_fifty_labels():
  errors = errors_of('fashion_mnist_50_few_labels')
  multiscale, supervised, whole = (
    errors[name] for name in ('multiscale', 'supervised', 'global')
  )
  assert len(errors) == 4 and {len(column) for column in errors.values()} == {4}
  others = [column for name, column in errors.items() if name != 'multiscale']
  assert all(p_value(column, multiscale) > 0.05 for column in others)
  assert p_value(whole, supervised) < 0.05
  apart, uncertainty = paired(supervised, whole)
  says(
    RESULTS_PAGE,
    f'an error of {mean(multiscale):.2f} % by multiscale, {mean(whole):.2f} % by the global loss '
    f'and {mean(errors["entropy"]):.2f} % by information without any reconstruction, where that of '
    f'labels alone is {mean(supervised):.2f} %',
    f'global loss is {apart:.2f} ± {uncertainty:.2f} points below labels alone',
    f'the error of multiscale is {mean(multiscale):.0f} % and that of labels alone '
    f'{mean(supervised):.0f} %',
  )


def test_which_part_does_it_on_mnist():
  of_seed = {
    (run['objective'], run['config']['objective'].get('unlabeled')): run['test_error']
    for run in runs_of('mnist_50_few_labels') if run['seed'] == 200
  }
  whole, alone = of_seed['multiscale', 'information'], of_seed['entropy', 'information']
  changed = {}
  for run in runs_of('mnist_50_ablation'):
    assert run['seed'] == 200 and run['objective'] == 'multiscale'
    config = run['config']
    changed[
      config['network']['batch_norm_inverse'], config['objective']['reduction'],
      config['objective']['unlabeled'], config['network']['dropout_rate'],
    ] = run['test_error']
  assert len(changed) == 4 and changed['batch', 'group', 'information', 0.1] == whole
  frozen = changed['frozen', 'group', 'information', 0.1]
  batch = changed['batch', 'batch', 'information', 0.1]
  without = changed['batch', 'group', 'none', 0.1]
  assert min(without, alone) > 5 * whole and max(frozen, batch) < 1.3 * whole
  says(
    RESULTS_PAGE,
    f'on which the whole recipe reaches {whole:.2f} %, the global loss '
    f'{of_seed["global", "information"]:.2f} %, information alone {alone:.2f} % and the labels '
    f'alone {of_seed["supervised", "information"]:.2f} %',
    f'the reconstruction reaches {without:.2f} %, without the former information reaches '
    f'{alone:.2f} %, and both together {whole:.2f} %',
    f'{frozen:.2f} % with the paper\'s frozen statistics, {batch:.2f} % with means over the batch',
  )


def test_mnist_with_other_numbers_of_labels():
  hundred, twenty = errors_of('mnist_100_few_labels'), errors_of('mnist_20_few_labels')
  names = ('multiscale', 'global', 'entropy', 'supervised')
  best, whole, alone, supervised = (f'{mean(hundred[name]):.2f}' for name in names)
  assert sorted(names, key=lambda name: mean(hundred[name])) == [*names]
  assert mean(twenty['global']) < mean(twenty['multiscale'])
  says(
    RESULTS_PAGE,
    f'With 100 labels the error of multiscale is {best} %, that of the global loss {whole} %, '
    f'of information alone {alone} % and of labels alone {supervised} %',
    f'it is {mean(twenty["multiscale"]):.2f} %, and that of the global loss '
    f'{mean(twenty["global"]):.2f} %',
  )


def test_fashion_mnist_with_five_hundred_labels():
  errors = errors_of('fashion_mnist_500_few_labels')
  multiscale, supervised = errors['multiscale'], errors['supervised']
  others = [column for name, column in errors.items() if name != 'multiscale']
  assert len(errors) == 4 and all(p_value(column, multiscale) > 0.05 for column in others)
  lead, uncertainty = paired(supervised, multiscale)
  says(
    RESULTS_PAGE,
    f'The error of multiscale is {mean(multiscale):.2f} %, of labels alone '
    f'{mean(supervised):.2f} %: '
    f'{lead:.2f} ± {uncertainty:.2f} points apart',
  )


def test_digits_on_fresh_seeds():
  errors = errors_of('digits_50_fresh')
  multiscale = errors['multiscale']
  assert len(errors) == 4
  assert all({*column} == {*range(200, 208)} for column in errors.values())
  assert all(
    mean(column) > mean(multiscale) and p_value(column, multiscale) < 0.05
    for name, column in errors.items() if name != 'multiscale'
  )
  assert p_value(errors['supervised'], errors['entropy']) < 0.05
  for name in ('digits_50', 'digits_50_paper'):
    other = errors_of(name)
    assert p_value(other['supervised'], other['entropy']) > 0.05
  apart, _ = paired(errors['global'], multiscale)
  gain, _ = paired(errors['supervised'], errors['entropy'])
  says(
    RESULTS_PAGE,
    f'the error of multiscale is {mean(multiscale):.2f} %, and here its lead over the global loss, '
    f'{apart:.2f} points, is beyond chance',
    f'it gains {gain:.2f} points on one set of eight seeds and nothing beyond chance on the other',
  )


def test_small_settings():
  plain, informed = errors_of('mnist_small_50'), errors_of('mnist_small_50_information')
  differences = [paired(plain['supervised'], informed[n]) for n in ('multiscale', 'global')]
  texts = [f'{value:.1f} ± {error:.1f}' for value, error in differences]
  apart = paired(informed['multiscale'], informed['global'])
  worse = paired(plain['entropy'], plain['supervised'])[0]
  more = [paired(plain[name], plain['entropy'])[0] for name in ('global', 'multiscale')]
  minutes = [_minutes(name) for name in ('mnist_small_50', 'fashion_mnist_small_50')]
  says(
    RESULTS_PAGE,
    f'{texts[0]} and {texts[1]} points below the supervised loss',
    f'(the two differ by {apart[0]:.1f} ± {apart[1]:.1f}: chance)',
    f'worse by {worse:.0f} points, and either reconstruction by {more[0]:.0f} to {more[1]:.0f} '
    'more',
    f'in {minutes[0]} (MNIST) and {minutes[1]} minutes',
  )
  assert all(p_value(plain[name], plain['supervised']) < 0.05 for name in plain if name[0] != 's')
  assert p_value(informed['multiscale'], informed['global']) > 0.05
  fashion = errors_of('fashion_mnist_small_50')
  for name in ('entropy', 'global', 'multiscale'):
    assert p_value(fashion[name], fashion['supervised']) > 0.05
  assert p_value(fashion['multiscale'], fashion['entropy']) < 0.05
  lost = paired(fashion['multiscale'], fashion['entropy'])[0]
  says(RESULTS_PAGE, f'multiscale is {lost:.2f} points worse than entropy alone')


def test_classifiers_without_a_deep_network():
  errors = errors_of('digits_50_classical', lambda run: run['method'])
  ours = errors_of('digits_50')
  assert set(errors['svm']) == set(ours['multiscale']) == set(range(8))
  spread, supervised, multiscale = (
    mean(values) for values in (errors['label_spreading'], ours['supervised'], ours['multiscale'])
  )
  assert mean(errors['self_training']) > mean(errors['svm'])
  assert multiscale < spread < supervised
  says(
    RESULTS_PAGE,
    f'reaches {spread:.2f} %',
    f"below the supervised network's {supervised:.2f} % and above multiscale's {multiscale:.2f} %",
  )


def _minutes(name):
  """How long the programs ran, each over all its seeds: what every seed's record says."""
  times = {run['objective']: run['wall_time_s'] for run in runs_of(name)}
  return round(sum(times.values()) / 60)


def test_layers_that_the_global_loss_leaves_unreconstructed():
  layers = {run['objective']: run['train'] for run in runs_of('digits_50')}
  inner = {
    name: [layers[name][f'train/reconstruction/{layer}'] for layer in range(1, 7)]
    for name in ('global', 'multiscale')
  }
  low, high = min(inner['global']), max(inner['global'])
  ours = min(inner['multiscale']), max(inner['multiscale'])
  first = [layers[name]['train/reconstruction/0'] for name in ('global', 'multiscale')]
  says(
    RESULTS_PAGE,
    f"their losses are {low:.2f} to {high:.2f}, multiscale's {ours[0]:.2f} to {ours[1]:.2f}",
    f"the input's are {first[0]:.2f} and {first[1]:.2f}",
  )


# Proposition 1.


def proposition_1():
  """Shares of layer 0 under multiscale training, and errors, by (corruption, level), L and seed."""
  shares, errors = collections.defaultdict(dict), collections.defaultdict(dict)
  for run in runs_of('proposition_1'):
    kind = run['config']['data']['corruption'], run['config']['data']['corruption_level']
    depth = run['proposition_1']['num_layers']
    errors[run['objective'], kind, depth][run['seed']] = run['test_error']
    if run['objective'] == 'multiscale':
      for stage in ('initial', 'trained'):
        shares[stage, kind, depth][run['seed']] = run['proposition_1'][stage]['shares'][0]
  return {key: mean(values) for key, values in shares.items()}, errors


def test_shares_of_the_input_in_the_gradient():
  shares, _ = proposition_1()
  by_stage = {
    stage: {key[1:]: value for key, value in shares.items() if key[0] == stage}
    for stage in ('initial', 'trained')
  }
  ranges = {s: f'{min(v.values()):.2f} to {max(v.values()):.2f}' for s, v in by_stage.items()}
  below = {s: [key for key, value in v.items() if value < 0.5] for s, v in by_stage.items()}
  assert {kind for kind, _ in below['trained']} == {('gaussian', 1.0)}
  assert [len(below[stage]) for stage in ('initial', 'trained')] == [2, 3]
  trained = by_stage['trained']
  kinds = {kind for kind, _ in trained}
  greatest = collections.Counter(
    max((4, 7, 13), key=lambda depth: trained[kind, depth]) for kind in kinds
  )
  assert greatest == {4: 2, 7: 3, 13: 1}
  over = [value * depth for (_, depth), value in [*trained.items(), *by_stage['initial'].items()]]
  noisy = [f'{trained[("gaussian", 1.0), depth]:.2f}' for depth in (4, 7, 13)]
  says(
    RESULTS_PAGE,
    f'{ranges["initial"]}, above a half in {18 - len(below["initial"])} of the 18 rows',
    f'by the multiscale loss it is {ranges["trained"]}',
    f'({noisy[0]}, {noisy[1]} and {noisy[2]})',
    f'from {min(over):.1f} times at L = 4 to {max(over):.0f} times at L = 13',
    'two have their greatest share at L = 4, three at L = 7, one at L = 13',
  )


def test_exponents_of_the_shares():
  shares = collections.defaultdict(list)
  for run in runs_of('proposition_1'):
    if run['objective'] == 'multiscale':
      kind = run['config']['data']['corruption'], run['config']['data']['corruption_level']
      for stage in ('initial', 'trained'):
        record = run['proposition_1']
        shares[stage, kind].append((record['num_layers'], record[stage]['shares'][0]))
  powers = {key: np.polyfit(*np.log(values).T, 1)[0] for key, values in shares.items()}
  initial = sorted(value for (stage, _), value in powers.items() if stage == 'initial')
  trained = [value for (stage, _), value in powers.items() if stage == 'trained']
  says(
    RESULTS_PAGE,
    f'p is {initial[1]:.2f} to {initial[-1]:.2f}, for the strongest noise {initial[0]:.2f}',
    f'p lies between {min(trained):.2f} and {max(trained):.2f}',
  )
  assert powers['initial', ('gaussian', 1.0)] == initial[0]


def test_errors_with_corrupted_images():
  _, errors = proposition_1()
  falls = lambda kind, first, last: [
    errors['multiscale', kind, last][seed] < errors['multiscale', kind, first][seed]
    for seed in (0, 1)
  ]
  telling = [('gaussian', 0.25), ('occlusion', 0.25), ('pattern', 0.5)]
  clean = ('none', 0.0)
  for kind in (*telling, clean):
    assert all(falls(kind, 4, 7))
    for seed in (0, 1):
      assert errors['multiscale', kind, 13][seed] < errors['global', kind, 13][seed]
  assert [falls(kind, 7, 13) for kind in telling] == [[False, True], [True, True], [False, True]]
  assert not any(falls(clean, 7, 13))
  noisy, pattern = (
    [errors['multiscale', kind, depth][seed] for seed in (0, 1) for depth in (7, 13)]
    for kind in (('gaussian', 0.25), ('pattern', 0.5))
  )
  both = [
    mean(errors[name, kind, depth])
    for name in ('multiscale', 'global') for kind in (('gaussian', 0.5), ('gaussian', 1.0))
    for depth in (4, 7, 13)
  ]  # fmt: skip
  says(
    RESULTS_PAGE,
    '{:.1f} to {:.1f} % on seed 0 and from {:.1f} to {:.1f} % on seed 1'.format(*noisy),
    'pattern from {:.1f} to {:.1f} % and from {:.1f} to {:.1f} %'.format(*pattern),
    f'both fail ({math.floor(min(both))} to {math.ceil(max(both))} %)',
  )


# Times.


def test_how_long_the_papers_runs_would_take():
  measured = runs_of('benchmark_step')['measured']
  step = {n: measured[n]['times']['multiscale']['median_s'] for n in ('large_cnn', 'resnet3_64')}
  days = lambda unlabeled, seconds: unlabeled // 25 * 400 * seconds / 86400
  cnn = [round(days(50_000 - labels, step['large_cnn'])) for labels in (8000, 4000)]
  wide = {round(days(73_257 - labels, step['resnet3_64'])) for labels in (500, 1000)}
  (wide,) = wide
  seeds = runs_of('benchmark_seeds')['measured']['mnist']['seconds_per_step_and_seed']
  assert round(days(60_000 - 50, seeds['single'])) == 4
  says(ROOT / 'docs/experiments.md', 'two to two and a half weeks', 'four days for MNIST')
  says(RESULTS_PAGE, f"{cnn[0]} or {cnn[1]} days for one run of CIFAR-10's", f'{wide} days for one')
  times = {run['objective']: run['wall_time_s'] for run in runs_of('digits_50')}
  says(ROOT / 'README.md', f'({sum(times.values()) / 60:.0f} minutes on two cores')


def test_convolutions_on_the_xeon():
  speeds = [size['gflop_per_s'] for size in runs_of('benchmark_winograd')['measured'].values()]
  slower = sorted(size['forward, lax'] / size['gradient, lax'] for size in speeds)
  least, most = f'{slower[1]:.1f}', f'{slower[-1]:.1f}'
  source = 'multiscale_inversion/nn/convolution.py'
  for page in ('docs/benchmarks.md', 'docs/convolutions.md', source):
    says(ROOT / page, f'{least} to {most} times')
  assert len(slower) == 5 and slower[0] < 1.2
  assert all(size['forward, lax'] > size['forward, winograd'] for size in speeds)
  assert sum(size['forward, at_once'] > size['forward, winograd'] for size in speeds) == 4
  for size in speeds:
    for kind in ('forward', 'gradient'):
      others = [speed for name, speed in size.items() if name.startswith(f'{kind}, ')]
      assert max(others) == size[f'{kind}, PyTorch']
  times = runs_of('benchmark_convolutions')['measured']['large_cnn']['times']
  ratio = times['lax']['median_s'] / times['default']['median_s']
  says(ROOT / 'docs/convolutions.md', f"XLA's Large CNN is {ratio:.0f} times slower")


def test_memory():
  measured = runs_of('benchmark_step')['measured']
  parts = {}
  for name in ('large_cnn', 'resnet3_64'):
    memory = measured[name]['temporary_bytes']
    parts[name] = memory['multiscale_rematerialized'] / memory['multiscale']
    ratio = memory['multiscale'] / memory['supervised']
    page = ROOT / 'docs/convolutions.md'
    says(page, f'{memory["multiscale"] / 1e6:.0f} MB', f'{ratio:.2f} times')
  says(
    ROOT / 'docs/devices.md',
    f"{parts['large_cnn']:.2f} of the plain multiscale step's memory for the Large CNN and "
    f'{parts["resnet3_64"]:.2f} for Resnet3-64',
  )
