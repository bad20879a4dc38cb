"""Guidance and posterior methods: each maps a Denoiser to a Denoiser, so any sampler runs them."""
