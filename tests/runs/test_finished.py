"""Summaries and result files that are damaged or hostile: one line each, or read as before."""

import copy
import glob
import json
import os

import pytest

from experiments import report
from experiments.reporting import (
  by_labels,
  classical,
  figures,
  grouping,
  paper_tables,
  proposition_1_report,
  results,
  tables,
)
from experiments.select_learning_rate import Selection
from multiscale_inversion import files
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs.finished import FinishedRun
from multiscale_inversion.runs.folder import RunFolder
from tests import tiny

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(report.__file__)))
WRONG = (
  None, True, -1, 0, 3, 2**31, 10**400, 0.5, float('nan'), float('inf'), 1e308, '', 'x', '../../x',
  '\x00\n', '\udcff', 'a' * 10_000, [], [None], ['a'], [[1]], {}, {'a': None}, {'a': {'b': 1}},
  {'a.b': 1}, {'': 1},
)  # fmt: skip


def message_of(function, *arguments):
  with pytest.raises(UserError) as error:
    function(*arguments)
  return str(error.value)


def paths_of(content, prefix=()):
  """The place of every value in a JSON object, at any depth."""
  entries = content.items() if isinstance(content, dict) else enumerate(content)
  for key, value in entries:
    yield (*prefix, key)
    if isinstance(value, dict | list):
      yield from paths_of(value, (*prefix, key))


def changed(content, path, value):
  content = copy.deepcopy(content)
  *outer, last = path
  inner = content
  for key in outer:
    inner = inner[key]
  if value is KeyError:
    del inner[last]
  else:
    inner[last] = value
  return content


def damaged(content):
  for path in paths_of(content):
    for value in (KeyError, *WRONG):
      yield path, changed(content, path, value)


def whole_summary(**changes):
  """With every key of the configuration, of two seeds."""
  path = os.path.join(ROOT, 'results', 'proposition_1.json')
  with open(path, encoding='utf-8') as file:
    run = json.load(file)[0]
  run['config'] |= {'num_seeds': 2}
  seeds = [{'seed': 0, 'test_error': 1.0}, {'seed': 1, 'test_error': 2.0}]
  return run | {'test_error_std': 0.5, 'seeds': seeds} | changes


def use(runs):
  """What the programs make of runs, files apart."""
  tables.of_runs(runs)
  for run in runs:
    json.dumps(run.public().to_json())
    figures.title(run)
    figures._slug(run).encode()
    grouping.setting(run)
  for number in (1, 2, 3):
    paper_tables.markdown(number, runs)
    paper_tables.comma_separated(number, runs)
  by_labels.points(runs)


def test_every_value_of_a_summary():
  """Each is deleted and made something else: refused by its name, or made use of."""
  summary = whole_summary()
  del summary['proposition_1']
  counts = {True: 0, False: 0}
  for path, content in damaged(summary):
    try:
      runs = FinishedRun.from_json(content, 'there').single_runs()
    except UserError as error:
      said = str(error)
      assert said.startswith('there') and len(said) < 2500
      counts[False] += 1
    else:
      counts[True] += 1
      if path[0] not in ('hardware', 'versions', 'train') and counts[True] % 20 == 0:
        use(runs)  # others are read by nothing, and all of them would take minutes
  assert counts[False] > 500 and counts[True] > 50


def test_every_value_of_a_study():
  refused = 0
  for _, content in damaged(whole_summary()['proposition_1']):
    try:
      measured = results.Proposition.from_json(content, 'there')
    except UserError as error:
      assert str(error).startswith('there')
      refused += 1
      continue
    assert results.Proposition.from_json(measured.to_json(), 'there') == measured
    groups = proposition_1_report.grouped([results.MeasuredRun(tiny.finished(), measured)])
    proposition_1_report._main_table(groups)
    proposition_1_report._exponents(groups)
  assert refused > 100


def test_every_value_of_a_list_of_mistakes(tmp_path):
  good = {
    'objective': 'global', 'seed': 0, 'test_error': 1.0, 'settled_epoch': 3.0,
    'confusions': [['a', 'b', 2]],
  }  # fmt: skip
  path = tmp_path / 'mistakes.json'
  path.write_text(json.dumps([good]))
  assert 'a as b: 2' in tables.of_mistakes(results.read_mistakes(str(path)))
  for _, content in damaged([good]):
    path.write_text(json.dumps(content))
    try:
      tables.of_mistakes(results.read_mistakes(str(path)))
    except UserError as error:
      assert str(error).startswith(str(path))


def test_what_is_wrong_is_named():
  for changes, said in (
    ({'seed': 1.5}, 'there: seed: 1.5; allowed: a whole number from 0 to 2147483647'),
    (
      {'test_error': '3'},
      "there: test_error: '3'; allowed: a number from 0 to 100; null without test images",
    ),
    ({'dataset': None}, 'there: dataset: None; allowed: a string that is not empty'),
    ({'config': []}, 'there: config: []; allowed: an object'),
    ({'config': {'data': {}, 'network': {}}}, 'there: config: lacks objective'),
    ({'seeds': [{'seed': 1}]}, 'there: seeds: a seed lacks test_error'),
  ):
    assert message_of(FinishedRun.from_json, tiny.summary(**changes), 'there') == said
  del (summary := tiny.summary())['versions']
  assert message_of(FinishedRun.from_json, summary, 'x') == 'x: a run lacks versions'
  config = tiny.summary()['config'] | {'network': {'width': '64'}}
  said = message_of(FinishedRun.from_json, tiny.summary(config=config), 'there')
  assert said.startswith("there: config.network.width: '64'; allowed: a whole number")


def test_published_results_are_read():
  names = sorted(glob.glob(os.path.join(ROOT, 'results', '*.json')))
  studies = ('_mistakes.json', '_classical.json')
  read = [n for n in names if 'benchmark_' not in n and not n.endswith(studies)]
  assert len(read) > 10
  for name in read:
    assert results.read_runs(name)
  for name in names:
    if name.endswith('_classical.json'):
      assert classical.read_results(name)
  assert results.read_mistakes(os.path.join(ROOT, 'results', 'digits_50_mistakes.json'))
  assert results.read_propositions(os.path.join(ROOT, 'results', 'proposition_1.json'))


CONTENTS = {
  'empty': b'', 'image': b'\x89PNG\r\n\x1a\n\x00\x00', 'utf-16': '[{}]'.encode('utf-16'),
  'garbage': bytes(range(256)), 'number': b'3', 'string': b'"x"', 'null': b'null', 'nan': b'NaN',
  'nulls': b'[null, null]', 'list of numbers': b'[1]', 'empty list': b'[]', 'halved': b'[{"a": ',
  'deep': b'[' * 100_000, 'long number': b'9' * 10_000, 'object': b'{}', 'bom': b'\xef\xbb\xbf[]',
  'two': b'{} {}', 'nested': b'[[{}]]', 'nul': b'\x00' * 100,
}  # fmt: skip
READERS = (
  results.read_runs, results.read_mistakes, results.read_propositions,
  Selection.read,
)  # fmt: skip


@pytest.mark.parametrize('name', CONTENTS)
def test_content_that_is_no_result(name, tmp_path):
  path = tmp_path / 'runs.json'
  path.write_bytes(CONTENTS[name])
  for read in READERS:
    said = message_of(read, str(path))
    assert said.startswith(str(path)) and '\n' not in said
  folder = tmp_path / 'run'
  folder.mkdir()
  path.rename(folder / 'summary.json')
  said = message_of(results.read_runs, str(folder))
  assert said.startswith(f'{folder}/summary.json')


def special(tmp_path):
  """Files that are none: name -> what is said of them."""
  os.mkfifo(tmp_path / 'pipe')
  (tmp_path / 'endless').symlink_to('/dev/zero')
  (tmp_path / 'dangling').symlink_to('/nowhere/at/all')
  (tmp_path / 'round').symlink_to('round')
  return {
    'pipe': 'is a named pipe; allowed: a regular file',
    'endless': 'is a device; allowed: a regular file',
    'dangling': 'no such file',
    'round': 'cannot be read: Too many levels of symbolic links',
    'absent': 'no such file',
    'x' * 300: 'cannot be read: File name too long',
  }


def test_only_regular_files_are_opened(tmp_path):
  for name, said in special(tmp_path).items():
    path = str(tmp_path / name)
    for read in (*READERS, files.read_text):
      if read is not results.read_propositions:
        assert message_of(read, path) == f'{path}: {said}'
  said = message_of(files.read_text, str(tmp_path))
  assert said == f'{tmp_path}: is a folder; allowed: a regular file'
  assert 'not the name of a file' in message_of(files.read_text, 'a\0b')


def test_folders_without_a_finished_run(tmp_path):
  said = message_of(results.read_runs, str(tmp_path))
  assert said == f'{tmp_path}: no finished run (summary.json)'
  os.mkfifo(tmp_path / 'summary.json')
  said = message_of(results.read_runs, str(tmp_path))
  assert said == f'{tmp_path}/summary.json: is a named pipe; allowed: a regular file'


@pytest.mark.parametrize('content', [
  '', '\n', '3\n', 'null\n', '[]\n', '{}\n', '{"step": 1}\n', '{"step": "1", "epoch": 1}\n',
  '{"a\n', '{"step": 1, "epoch": 1, "train/loss": "1"}\n', '{"step": 1, "epoch": NaN}\n',
  '\x00\x00\n',
])  # fmt: skip
def test_metrics_that_are_none(content, tmp_path):
  (tmp_path / 'metrics.jsonl').write_text(content)
  said = message_of(RunFolder(str(tmp_path)).metrics)
  assert said.startswith(f'{tmp_path}/metrics.jsonl')


def test_metrics(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1, "epoch": 0.5, "train/loss": null}\n')
  assert RunFolder(str(tmp_path)).metrics(keys=['train/loss'])[0]['step'] == 1
  said = message_of(RunFolder(str(tmp_path)).metrics, None, ['test/error'])
  assert said == f'{path}: record 1: it lacks test/error'
  path.unlink()
  assert message_of(RunFolder(str(tmp_path)).metrics) == f'{path}: no such file'
  os.mkfifo(path)
  assert 'is a named pipe' in message_of(RunFolder(str(tmp_path)).metrics)


HOSTILE = ('../../escaped', '/etc/x', '..', 'a/b', 'a\nb', '\x00', '$x_', 'é|\udcff', 'n' * 5000)


@pytest.mark.parametrize('name', HOSTILE)
def test_names_do_not_lead_out_of_the_folder(name, tmp_path):
  runs = []
  for labels in (20, 50):
    run = tiny.summary(dataset=name, network=name, objective=name, num_labeled=labels)
    run['config']['data'] = {'note': name, 'num_labeled': labels}
    runs.append(FinishedRun.from_json(run, 'there'))
  out = tmp_path / 'in' / 'out'
  out.mkdir(parents=True)
  (path,) = by_labels.draw(runs, str(out))
  assert os.path.dirname(path) == str(out)
  slug = figures._slug(runs[0])
  assert '/' not in slug and not slug.startswith('.') and len(os.fsencode(slug)) <= 200
  assert [entry.name for entry in tmp_path.iterdir()] == ['in']
  assert len(tables.of_runs(runs).splitlines()) == 4
  assert [os.path.basename(path)] == os.listdir(out)
