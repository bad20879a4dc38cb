"""The one idea, x_t = alpha(t) x_0 + sigma(t) noise, and the words every system is made of."""
