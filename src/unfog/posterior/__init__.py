"""Posterior methods: samples of x_0 given a measurement y = A x_0 + noise."""
