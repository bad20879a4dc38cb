"""Measures of samples and restorations: likelihoods, distances, spectra, coverage, baselines."""
