"""A run: its folder and what is kept there."""
