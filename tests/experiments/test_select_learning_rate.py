import pytest

from experiments import digits_50, digits_methods, select_learning_rate
from multiscale_inversion.runs.loop import Diverged


class _NeverStop:
  def requested(self, step):
    return False


def test_divergence():
  assert select_learning_rate.divergence([2.0, 5.0, 1.0]) is None
  assert 'above the 2' in select_learning_rate.divergence([2.0, 1.0, 2.5])
  assert 'not finite' in select_learning_rate.divergence([2.0, None])
  assert 'not finite' in select_learning_rate.divergence([])


@pytest.mark.parametrize(
  ('method', 'cross_entropy', 'selected'),
  [
    ('multiscale', [2.0, 1.0], 0.0002),
    # Its weights grow, and its loss with them.
    ('pi_model+multiscale', [2.0, 1.0], 0.02),
    ('pi_model+multiscale', [2.0, 2.5], 0.0002),
  ],
)
def test_a_loss_that_grows_with_its_weights(
  tmp_path, monkeypatch, method, cross_entropy, selected
):
  config = digits_methods.get_config('pi_model+multiscale')
  config.objective.name = method

  def records(folder, keys):
    loss = [2.0, 1.0] if str(folder).endswith('0.0002') else [2.0, 3.0]
    entropies = [2.0, 1.0] if str(folder).endswith('0.0002') else cross_entropy
    return [
      {'train/loss': one, 'train/cross_entropy': other}
      for one, other in zip(loss, entropies, strict=True)
    ]

  monkeypatch.setattr(select_learning_rate, 'train_and_evaluate', lambda *unused: None)
  monkeypatch.setattr(select_learning_rate.RunFolder, 'metrics', records)
  found = select_learning_rate.select(config, str(tmp_path), _NeverStop())
  assert found.learning_rate == selected
  assert len(found.diverged) == (2 if selected == 0.0002 else 0)


@pytest.mark.parametrize(('diverging', 'selected'), [((), 0.02), ((0.02,), 0.002)])
def test_the_greatest_that_does_not_diverge(tmp_path, monkeypatch, diverging, selected):
  tried = []

  def train(config, workdir, should_stop, command, config_file):
    tried.append(config.learning_rate)
    if config.learning_rate in diverging:
      raise Diverged('the loss is nan')

  monkeypatch.setattr(select_learning_rate, 'train_and_evaluate', train)
  records = [{'train/loss': 2.0}, {'train/loss': 1.0}]
  read = lambda folder, keys: records
  monkeypatch.setattr(select_learning_rate.RunFolder, 'metrics', read)
  found = select_learning_rate.select(digits_50.get_config(), str(tmp_path), _NeverStop())
  assert found.learning_rate == selected and tried == [*diverging, selected]
  assert found.diverged == {str(rate): 'the loss is nan' for rate in diverging}


def test_with_all_rates_diverging_the_error_says_so(tmp_path, monkeypatch):
  def train(*unused):
    raise Diverged('the loss is nan')

  monkeypatch.setattr(select_learning_rate, 'train_and_evaluate', train)
  with pytest.raises(Diverged, match='diverged with each of'):
    select_learning_rate.select(digits_50.get_config(), str(tmp_path), _NeverStop())


def test_trains_for_real(tmp_path, quick_compilation):
  config = digits_50.get_config()
  config.network.width = 2
  config.network.blocks_per_group = 1
  config.num_steps = 30
  config.log_every_steps = 10
  rate = select_learning_rate.select(config, str(tmp_path), _NeverStop()).learning_rate
  assert rate in select_learning_rate.RATES
  assert (tmp_path / f'learning_rate_{rate}' / 'summary.json').exists()
