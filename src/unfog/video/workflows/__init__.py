"""Files to files, of clips: a file a command."""
