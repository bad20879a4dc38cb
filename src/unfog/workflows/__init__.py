"""From files to files: what each command does, one file a command."""
