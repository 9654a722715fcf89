import json
import math
import os
import statistics
import sys

import matplotlib.image
import pytest

from experiments import report
from experiments.reporting import by_labels, tables
from experiments.reporting.comparison import compare
from experiments.reporting.results import read_all
from multiscale_inversion import UserError
from multiscale_inversion.cli import program as cli
from multiscale_inversion.runs.finished import FinishedRun, public_command
from tests import tiny


def _run(objective, seed, error, unlabeled='entropy', **network):
  options = {'blocks_per_group': 2, 'width': 32, 'pooling': 'mean', 'activation': 'leaky_relu'}
  config = {'network': options | network, 'data': {'data_dir': f'folder {seed}'}, 'seed': seed}
  config |= {'objective': {'name': objective, 'unlabeled': unlabeled}}
  return tiny.summary(objective=objective, seed=seed, test_error=error, config=config)


def typed(runs):
  return [FinishedRun.from_json(run, 'there') for run in runs]


def table(runs):
  return tables.of_runs(typed(runs))


def paired(runs):
  return tables.paired(typed(runs))


def side_by_side(runs):
  return tables.side_by_side(typed(runs))


def points(runs):
  return by_labels.points(typed(runs))


def test_runs_that_differ_in_their_seed_share_a_row():
  errors = [9.5, 4.25, 3.0]
  runs = [_run('multiscale', seed, errors[seed]) for seed in (2, 0, 1)]
  runs += [_run('global', 0, 7.0), _run('multiscale', 0, 8.0, pooling='max')]
  runs += [_run(name, 0, 5.0, 'information') for name in ('supervised', 'entropy')]
  lines = table(runs).splitlines()[2:]
  mean, deviation = statistics.mean(errors), statistics.stdev(errors)
  assert lines == [
      f'| digits | 50 | Resnet2-32 | multiscale | 40 | {mean:.2f} ± {deviation:.2f} '
      '| 0: 9.50, 1: 4.25, 2: 3.00 |',
      '| digits | 50 | Resnet2-32 | global | 40 | 7.00 | 0: 7.00 |',
      '| digits | 50 | Resnet2-32max | multiscale | 40 | 8.00 | 0: 8.00 |',
      '| digits | 50 | Resnet2-32 | supervised | 40 | 5.00 | 0: 5.00 |',
      '| digits | 50 | Resnet2-32 | entropy (information) | 40 | 5.00 | 0: 5.00 |',
  ]


def test_runs_on_other_data_have_a_row_of_their_own():
  runs = [_run('multiscale', 0, 5.0), _run('multiscale', 0, 12.0)]
  runs[1]['config']['data']['note'] = 'flowers'
  lines = table(runs).splitlines()[2:]
  assert lines[0].endswith('| 40 | 5.00 | 0: 5.00 |')
  assert lines[1].endswith('| 40 | 12.00 | 0: 12.00 |')


def test_a_seed_that_is_given_twice_counts_once():
  runs = [_run('multiscale', seed, error) for seed, error in [(0, 3.0), (1, 5.0), (0, 4.0)]]
  assert '| 4.00 ± 1.41 | 0: 3.00, 1: 5.00 |' in table(runs)


def test_a_column_says_what_rows_differ_in():
  runs = [
    _run('multiscale', 0, 8.0), _run('multiscale', 0, 7.0, batch_norm_inverse='batch'),
    _run('global', 0, 6.0, batch_norm_inverse='running', dropout_rate=0.1),
    # The default, whether a version of the project recorded it or not.
    _run('multiscale', 1, 9.0, batch_norm_inverse='frozen'),
  ]
  assert table(runs).splitlines() == [
    '| data set | labels | network | objective | changes | epochs | test error, % (mean ± std) '
    '| by seed |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    '| digits | 50 | Resnet2-32 | multiscale |  | 40 | 8.50 ± 0.71 | 0: 8.00, 1: 9.00 |',
    '| digits | 50 | Resnet2-32 | multiscale | network.batch_norm_inverse=batch | 40 | 7.00 '
    '| 0: 7.00 |',
    '| digits | 50 | Resnet2-32 | global | network.batch_norm_inverse=running, '
    'network.dropout_rate=0.1 | 40 | 6.00 | 0: 6.00 |',
  ]


def test_names_that_a_users_file_registers():
  """They are none of the report's; what is known keeps its defaults."""
  known = _run('multiscale', 0, 8.0)
  known['config']['network']['name'] = known['network'] = 'a_users_own'
  spelled = _run('multiscale', 1, 9.0)
  spelled['config']['network']['name'] = spelled['network'] = 'a_users_own'
  spelled['config']['objective'] |= {'reduction': 'batch', 'stop_target': False}  # its defaults
  (line,) = table([known, spelled]).splitlines()[2:]
  assert line.endswith('| 8.50 ± 0.71 | 0: 8.00, 1: 9.00 |')


def test_paired_differences():
  runs = [_run('multiscale', seed, error) for seed, error in enumerate([3.0, 4.0, 5.0])]
  runs += [_run('global', seed, error) for seed, error in enumerate([4.0, 7.0, 7.0, 99.0])]
  runs.append(_run('entropy', 1, 3.0))
  # 1, 3 and 2: mean 2, standard deviation 1.
  assert paired(runs).splitlines()[2:] == [
    '| global | 3 | +2.00 | 0.58 | 0.074 | no |', '| entropy | 1 | -1.00 | nan | - | no |',
  ]


@pytest.mark.parametrize(('differences', 'p', 'beyond'), [
  # t and p from the tables of Student's distribution: t = 4.303 at p = 0.05 with 2 degrees of
  # freedom, 2.365 with 7, and 5.408 at p = 0.001 with 7.
  ([1.0, 3.0, 2.0], 0.0742, False),  # t = 3.464: p = 1 - t / sqrt(t^2 + 2)
  ([2.0, 4.0, 3.0], 0.0351, True),  # t = 5.196
  ([0.0, 0.0, 0.0], None, False),
  ([1.0], None, False),
  ([1.5, 1.5], 0.0, True),
])
def test_beyond_chance(differences, p, beyond):
  runs = [_run('global', seed, 5 + value) for seed, value in enumerate(differences)]
  found = compare(typed(runs), typed([_run('multiscale', seed, 5.0) for seed in range(9)]))
  assert found.seeds == len(differences) and found.beyond_chance == beyond
  if p is None:
    assert math.isnan(found.p_value) and found.p_text() == '-'
  else:
    assert found.p_value == pytest.approx(p, abs=1e-3)


def test_a_page_folds_the_seeds_away():
  runs = [_run('multiscale', 0, 3.0), _run('multiscale', 1, 5.0), _run('global', 0, 4.0)]
  assert tables.for_page(typed(runs)).splitlines() == [
    '| data set | labels | network | objective | epochs | test error, % (mean ± std) |',
    '| --- | --- | --- | --- | --- | --- |',
    '| digits | 50 | Resnet2-32 | multiscale | 40 | 4.00 ± 1.41 |',
    '| digits | 50 | Resnet2-32 | global | 40 | 4.00 |',
    '',
    '<details><summary>Each seed</summary>',
    '',
    '| objective | by seed |',
    '| --- | --- |',
    '| multiscale | 0: 3.00, 1: 5.00 |',
    '| global | 0: 4.00 |',
    '',
    '</details>',
  ]
  assert tables.of_errors(typed(runs)).splitlines() == [
    '| data set | labels | network | objective | epochs | test error, % (mean ± std) |',
    '| --- | --- | --- | --- | --- | --- |',
    '| digits | 50 | Resnet2-32 | multiscale | 40 | 4.00 ± 1.41 |',
    '| digits | 50 | Resnet2-32 | global | 40 | 4.00 |',
  ]


def test_methods_side_by_side():
  runs = [_run('pi_model', seed, error) for seed, error in enumerate([5.0, 6.0, 8.0])]
  runs += [_run('pi_model+multiscale', seed, error) for seed, error in enumerate([4.0, 3.0, 6.0])]
  runs.append(_run('fixmatch', 0, 2.0))
  runs.append(_run('pi_model', 3, 6.33333333))  # without a partner
  # -1, -3 and -2: mean -2, standard deviation 1.
  assert side_by_side(runs).splitlines()[2:] == [
    '| pi model | 6.33 ± 1.25 | 4.33 ± 1.53 | -2.00 ± 0.58 | 0.074 | 3 |',
    '| fixmatch | 2.00 | not measured |  |  | 1 |',
  ]
  with pytest.raises(UserError, match='fixmatch occurs in several settings'):
    side_by_side([*runs, _run('fixmatch', 0, 2.0, pooling='max')])
  with pytest.raises(UserError, match=r'pi_model\+multiscale occurs without pi_model'):
    side_by_side(runs[3:6])


def test_errors_against_the_number_of_labels(tmp_path):
  runs = [
    _run('multiscale', seed, error) | {'num_labeled': labels}
    for labels, errors in ((50, [4.0, 6.0]), (20, [9.0, 15.0])) for seed, error in enumerate(errors)
  ]
  runs.append(_run('global', 0, 7.0) | {'num_labeled': 100})
  for run in runs:
    run['config'] = {**run['config'], 'data': {'num_labeled': run['num_labeled']}}
  # Of two values 2 apart: standard deviation sqrt(2), standard error 1.
  assert points(runs) == {
    'global': [(100, 7.0, pytest.approx(math.nan, nan_ok=True))],
    'multiscale': [(20, 12.0, pytest.approx(3)), (50, 5.0, pytest.approx(1))],
  }
  # Other options, another curve; a seed again, the first run.
  other = _run('multiscale', 0, 1.0) | {'num_labeled': 50}
  other['config']['objective']['reduction'] = 'group'
  curves = points([*runs, other, runs[0] | {'test_error': 99.0}])
  assert sorted(curves) == ['global', 'multiscale', 'multiscale, 2']
  assert sorted(len(curves[name]) for name in curves) == [1, 1, 2]
  assert {mean for curve in curves.values() for _, mean, _ in curve} == {7.0, 12.0, 5.0, 1.0}
  alone = _run('multiscale', 0, 8.0, pooling='max')  # a network with one number of labels
  (path,) = by_labels.draw(typed([*runs, alone]), str(tmp_path))
  assert path.endswith('digits_by_labels.png')
  assert matplotlib.image.imread(path).shape[1] > 600


def test_reads_folders_and_files_and_renews_tables(tmp_path):
  folder = tmp_path / 'run'
  folder.mkdir()
  (folder / 'summary.json').write_text(json.dumps(_run('global', 0, 7.0)))
  file = tmp_path / 'runs.json'
  file.write_text(json.dumps([_run('global', 1, 9.0)]))
  assert [run.test_error for run in read_all([str(folder), str(file)])] == [7.0, 9.0]

  page = tmp_path / 'page.md'
  page.write_text('a\n<!-- table: runs.json -->\nold\n<!-- end of table -->\nz\n')
  report.update(str(page))
  renewed = page.read_text()
  assert '| 1: 9.00 |' in renewed and 'old' not in renewed
  assert renewed.startswith('a\n<!-- table: runs.json -->\n') and renewed.endswith('-->\nz\n')


def test_errors_name_the_path(tmp_path):
  with pytest.raises(UserError, match='no finished run'):
    read_all([str(tmp_path)])
  with pytest.raises(UserError, match=r'absent\.json: no such file'):
    read_all([str(tmp_path / 'absent.json')])
  broken = tmp_path / 'broken.json'
  broken.write_text('[{"dataset": "digits"}]')
  with pytest.raises(UserError, match='lacks test_error, network, objective'):
    read_all([str(broken)])
  broken.write_text('[{')
  with pytest.raises(UserError, match='not JSON'):
    read_all([str(broken)])
  page = tmp_path / 'page.md'
  page.write_text('nothing')
  with pytest.raises(UserError, match='no table between'):
    report.update(str(page))


def test_published_runs_hold_no_folder_of_the_machine():
  run = tiny.summary(
    test_error=1.0,
    config=tiny.summary()['config'] | {'data': {'name': 'mnist', 'data_dir': '/home/me/data'}},
    command='python -m experiments.main --config=a.py --workdir=/home/me/x'
    " '--config.data.note=a b' --config.data.data_dir=/home/me/data --config.seed=1",
  )
  public = FinishedRun.from_json(run, 'there').public().to_json()
  assert '/home' not in str(public)
  assert public['command'] == (
    "python -m experiments.main --config=a.py --workdir=DIR '--config.data.note=a b'"
    ' --config.data.data_dir=DIR --config.seed=1'
  )
  assert public['test_error'] == 1.0 and public['config']['data']['name'] == 'mnist'
  assert run['config']['data']['data_dir'] == '/home/me/data'


def test_public_commands_name_no_folder_among_other_changes():
  command = 'python -m experiments.sweep --set=data.data_dir=../me/data,num_epochs=1 --seeds=0'
  expected = 'python -m experiments.sweep --set=data.data_dir=DIR,num_epochs=1 --seeds=0'
  assert public_command(command) == expected


# The program, and what it writes to.


@pytest.fixture
def program(monkeypatch, capsys):
  """Runs the program here: (exit status, standard output, standard error)."""

  def run(*arguments):
    monkeypatch.setattr(sys, 'argv', ['report', *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
      cli.run(report.main, needs_config=False)
    return end.value.code, *capsys.readouterr()

  return run


@pytest.fixture
def results(tmp_path):
  path = tmp_path / 'runs.json'
  path.write_text(json.dumps([tiny.summary(seed=seed, test_error=seed) for seed in (0, 1)]))
  return path


def test_the_program(program, results, tmp_path):
  status, said, _ = program(results, f'--out={tmp_path}/new/out')
  assert status == 0 and '| 0.50 ± 0.71 | 0: 0.00, 1: 1.00 |' in said
  out = tmp_path / 'new' / 'out'
  assert (out / 'table.md').read_text() == said
  assert read_all([str(out / 'runs.json')])[1].test_error == 1
  assert sorted(path.suffix for path in out.iterdir()) == ['.csv'] * 3 + ['.json'] + ['.md'] * 4


def test_places_that_cannot_be_written(program, results, tmp_path):
  (tmp_path / 'file').write_text('mine')
  os.mkfifo(tmp_path / 'pipe')
  (tmp_path / 'taken' / 'table.md').mkdir(parents=True)
  for out, said in (
    ('file', f'--out: {tmp_path}/file cannot be made a folder: File exists'),
    ('file/in', f'--out: {tmp_path}/file/in cannot be made a folder: Not a directory'),
    ('pipe', f'--out: {tmp_path}/pipe cannot be made a folder: File exists'),
    ('n' * 300, f'--out: {tmp_path}/{"n" * 300} cannot be made a folder: File name too long'),
    ('taken', f'{tmp_path}/taken/table.md: is a folder; allowed: a regular file'),
  ):
    assert program(results, f'--out={tmp_path}/{out}') == (2, '', f'error: {said}\n')
  assert (tmp_path / 'file').read_text() == 'mine'


def test_input_that_is_none(program, tmp_path):
  (tmp_path / 'image.png').write_bytes(b'\x89PNG\r\n\x1a\n')
  (tmp_path / 'unfinished').mkdir()
  os.mkfifo(tmp_path / 'pipe')
  for name in ('image.png', 'unfinished', 'pipe', 'absent'):
    status, out, said = program(tmp_path / name, f'--out={tmp_path}/out')
    assert (status, out) == (2, '') and said.startswith(f'error: {tmp_path}/{name}: ')
    assert said.count('\n') == 1 and not (tmp_path / 'out').exists()


def test_pages_that_are_none(program, results, tmp_path):
  mark = '<!-- table: runs.json -->\nold\n<!-- end of table -->\n'
  (tmp_path / 'latin.md').write_bytes(mark.encode() + b'\xe9')
  (tmp_path / 'lacks.md').write_text(mark + mark.replace('runs', 'absent'))
  (tmp_path / 'folder.md').write_text(
    '<!-- paper table 1: absent -->\n<!-- end of paper table 1 -->\n'
  )
  os.mkfifo(tmp_path / 'pipe.md')
  for name, said in (
    ('latin.md', f'{tmp_path}/latin.md: not UTF-8 text (byte 52)'),
    ('lacks.md', f'{tmp_path}/absent.json: no such file'),
    ('folder.md', f'{tmp_path}/absent: not a folder of result files: No such file or directory'),
    ('pipe.md', f'{tmp_path}/pipe.md: is a named pipe; allowed: a regular file'),
    ('', f'{tmp_path}/: is a folder; allowed: a regular file'),
    ('none.md', f'{tmp_path}/none.md: no such file'),
  ):
    before = (tmp_path / name).read_bytes() if name[:1] in ('l', 'f') else None
    assert program(f'--update={tmp_path}/{name}') == (2, '', f'error: {said}\n')
    assert before is None or (tmp_path / name).read_bytes() == before


def test_a_page_keeps_its_line_ends_its_link_and_its_permissions(program, results, tmp_path):
  page, link = tmp_path / 'page.md', tmp_path / 'link.md'
  page.write_bytes(b'a\r\n<!-- table: runs.json -->\r\nold\r\n<!-- end of table -->\r\nz')
  page.chmod(0o664)
  link.symlink_to(page)
  assert program(f'--update={link}')[0] == 0
  renewed = page.read_bytes()
  assert renewed.startswith(b'a\r\n<!-- table: runs.json -->\r\n| data set |')
  assert renewed.endswith(b'</details>\r\n<!-- end of table -->\r\nz')
  assert renewed.count(b'\n') == renewed.count(b'\r\n')
  assert link.is_symlink() and page.stat().st_mode & 0o777 == 0o664


def test_a_table_of_names_with_signs_of_its_own():
  run = tiny.summary(dataset='a|b\nc')
  line = table([run]).splitlines()[2]
  assert line.startswith(r'| a\|b\nc | 50 | ')
  assert len(table([run]).splitlines()) == 3
