"""Simulated magnetic resonance images of heads and of other bodies, from random numbers alone."""
