"""Turns benchmarks' results into tables: `python -m benchmarks.tables README.md ...`.

Renews in Markdown files what stands between

    <!-- benchmark: results/benchmark_NAME.json -->  and  <!-- end of benchmark -->

from the result file named there.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.programs import exit_status
from experiments.reporting.tables import markdown as table
from experiments.reporting.tables import renew
from multiscale_inversion import files
from multiscale_inversion.errors import UserError

_NAMES = {
    'large_cnn': 'Large CNN',
    'resnet3_64': 'Resnet3-64',
    'small': 'Resnet1-16',
    'vit': 'ViT',
    'default': 'ours',
    'torch': 'PyTorch',
    'lax': "XLA's (`flax.linen.Conv`)",
}


# Packages beside JAX that a table names where they decided about its numbers.
_PACKAGES = {'torch': 'PyTorch', 'libtpu': 'libtpu', 'jax-cuda12-plugin': "JAX's CUDA 12 plugin"}


def _name(key: str) -> str:
  return _NAMES.get(key, key)


def _milliseconds(times: Mapping[str, Any], key: str) -> str:
  return f'{1e3 * times[key]["median_s"]:.4g}'


def _convolutions(measured):
  (names,) = {tuple(network['times']) for network in measured.values()}
  others = [name for name in names if name != 'default']
  head = ['network', *(f'{_name(n)}, ms' for n in names), *(f'ours / {_name(n)}' for n in others)]
  rows = [
      [
          _name(key),
          *(_milliseconds(network['times'], n) for n in names),
          *(f'{network["default_over"][n]:.2f}' for n in others),
      ]
      for key, network in measured.items()
  ]
  return table(head, rows)


def _step(measured):
  head = [
      'network',
      'supervised, ms',
      'multiscale, ms',
      'time',
      'arithmetic',
      'memory',
      'rematerialized: time',
      'memory',
  ]
  rows, depth = [], []
  for key, network in measured.items():
    if key == 'by_depth':
      continue
    times, memory, over = (
        network[k] for k in ('times', 'temporary_bytes', 'multiscale_over_supervised')
    )
    again = 'multiscale_rematerialized'
    rows.append([
        _name(key),
        _milliseconds(times, 'supervised'),
        _milliseconds(times, 'multiscale'),
        f'{over["time"]:.2f}',
        f'{over["flops"]:.3f}',
        f'{over["temporary_bytes"]:.2f}',
        f'{times[again]["median_s"] / times["supervised"]["median_s"]:.2f}',
        f'{memory[again] / memory["supervised"]:.2f}',
    ])
  for key, network in measured['by_depth'].items():
    depth.append([
        key.replace('resnet', 'Resnet').replace('_', '-'),
        f'{network["flops"]["multiscale"] / 1e9:.2f}',
        _milliseconds(network['times'], 'supervised'),
        _milliseconds(network['times'], 'multiscale'),
        f'{network["multiscale_over_supervised"]["time"]:.2f}',
    ])
  head_of_depth = ['network', 'multiscale, GFLOP', 'supervised, ms', 'multiscale, ms', 'time']
  return table(head, rows) + '\n' + table(head_of_depth, depth)


def _loop(measured):
  head = ['run', 'steps/s', 'bare: programs of one step', 'of ten', 'ratio to the faster']
  rows = [
      [
          name.replace('_', ' '),
          f'{measured[name]["loop_steps_per_s"]:.1f}',
          *(f'{speed:.1f}' for speed in measured[name]['bare_steps_per_s'].values()),
          f'{measured[name]["loop_over_bare"]:.3f}',
      ]
      for name in ('without_evaluation', 'with_evaluation')
  ]
  return table(head, rows)


def _seeds(measured):
  head = ['setting', 'program', 'ms a step and seed', "beside a single run's"]
  rows = [
      [
          setting,
          name.replace('_', ', seeds: '),
          f'{1e3 * result["seconds_per_step_and_seed"][name]:.4g}',
          f'{result["over_single"][name]:.2f}',
      ]
      for setting, result in measured.items()
      for name in result['times']
  ]
  return table(head, rows)


def _placement(measured):
  rows = [[name, f'{speed:.1f}'] for name, speed in measured['steps_per_s'].items()]
  return table(['placement', 'steps/s'], rows)


def _methods(measured):
  speeds = measured['over_supervised']
  alone = [name for name in speeds if not name.endswith('+multiscale')]
  rows = []
  for name in alone:
    both = f'{name}+multiscale'
    rows.append([
        name.replace('_', ' '),
        f'{speeds[name]:.2f}',
        f'{speeds[both]:.2f}' if both in speeds else '-',
    ])
  head = ['method', 'step beside a supervised one', 'with multiscale']
  return table(head, rows)


def _winograd(measured):
  ways = next(iter(measured.values()))['gflop_per_s']
  rows = [
      [way, *(f'{shape["gflop_per_s"][way]:.0f}' for shape in measured.values())]
      for way in sorted(ways)
  ]
  return table(['GFLOP/s', *measured], rows)


def _accelerator(measured):
  head = ['setting', 'multiscale, ms', '/ supervised', 'PyTorch / ours', 'of the peak']
  rows = [
      [
          key,
          f'{result["ms_per_step"]["multiscale"]:.4g}',
          f'{result["multiscale_over_supervised"]:.2f}',
          f'{result["torch_over_jax"]["multiscale"]:.2f}' if 'torch_over_jax' in result else '-',
          f'{100 * result["of_peak"]["multiscale"]:.0f} %',
      ]
      for key, result in measured.items()
      if key != 'loop'
  ]
  return table(head, rows)


def _sizes(measured):
  head = ['network', 'parameters P', 'multiplications M, an image', 'values A, an image']
  names = ('parameters', 'multiplications', 'values')
  return table(
      head, [[key, *(f'{found[name]:,}' for name in names)] for key, found in measured.items()]
  )


def _compiled(measured):
  head = [
      'network',
      'program',
      'precision',
      'devices',
      'images',
      'GFLOP',
      'GB moved',
      'arguments, MB',
      'temporaries, MB',
      'peak, MB',
      'kernels',
      'loops',
      'messages',
      'compiled in, s',
  ]
  return table(head, [_compiled_row(found) for found in measured['programs']])


def _compiled_row(found):
  row = [_name(found['network']), f'{found["objective"]}, {found["program"]}', found['precision']]
  if 'memory' not in found:
    limit = found.get('not_finished_after_s')
    return [*row, *['-'] * 10, 'failed' if limit is None else f'not after {limit:g}']
  amount = lambda value, unit: '-' if not value else f'{value / unit:.4g}'
  messages = [
      f'{entry["number"]} {kind} ({entry["bytes"] / 1e3:.4g} kB)'
      for kind, entry in found['collectives'].items()
  ]
  return [
      *row,
      str(found['num_devices']),
      str(found['images']),
      amount(found['flops'], 1e9),
      amount(found['bytes_accessed'], 1e9),
      *(amount(found['memory'][part], 1e6) for part in ('arguments', 'temporaries', 'peak')),
      str(found['kernels']),
      str(found['while_loops']),
      ', '.join(messages) or '-',
      f'{found["compilation_s"]:.0f}',
  ]


_TABLES = {
    'accelerator': _accelerator,
    'compiled': _compiled,
    'convolutions': _convolutions,
    'loop': _loop,
    'methods': _methods,
    'placement': _placement,
    'seeds': _seeds,
    'sizes': _sizes,
    'step': _step,
    'winograd': _winograd,
}


def render(path: str) -> str:
  """Return the tables of a result file, and on which machine it was measured."""
  result = files.read_json(path)
  hardware, versions = result['hardware'], result['versions']
  device = hardware['processor'] if hardware['platform'] == 'cpu' else hardware['device']
  more = [
      f'{name} {versions[package]}'
      for package, name in _PACKAGES.items()
      if versions.get(package, 'not installed') != 'not installed'
  ]
  target = result['measured'].get('target') if result['benchmark'] == 'compiled' else None
  machine = f'{device}, {hardware["num_cores"]} cores'
  where = ', '.join([
      f'for {target}, compiled on {machine}' if target else machine,
      f'JAX {versions["jax"]}',
      *more,
  ])
  command = f'`{result["command"]}`'
  return f'{_TABLES[result["benchmark"]](result["measured"])}\n{where}; {command}\n'


def main() -> int:
  """Run the program; return its exit status."""
  return exit_status(lambda: renew_all(sys.argv[1:]))


def renew_all(pages: Sequence[str]) -> None:
  """Renew the tables of pages.

  Raises:
    UserError: if a page has none.
  """
  for path in pages:
    if not renew(path, {'benchmark': render}):
      raise UserError(f'{path}: no table between <!-- benchmark: FILE --> and its end')


if __name__ == '__main__':
  sys.exit(main())
