"""The paper's experiments: `python -m experiments.main --config=experiments/svhn_500.py`."""
