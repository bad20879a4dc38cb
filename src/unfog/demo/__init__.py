"""``unfog demo``: train, sample and restore on built-in data, and write a report of it."""
