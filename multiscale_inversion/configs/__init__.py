"""Configurations that the program knows by their names: `train --config=digits_50`."""
