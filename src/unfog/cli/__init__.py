"""The command line: every command parses, calls one function of the library, and prints what it
returns.

Nothing heavy is imported at module level, so that ``unfog --help`` answers at once.
"""
