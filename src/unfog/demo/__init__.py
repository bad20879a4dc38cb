"""``unfog demo``: train, sample and restore on built-in data, and write a report of it."""

from unfog.demo.main import run_demo

__all__ = ["run_demo"]
