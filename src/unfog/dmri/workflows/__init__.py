"""The commands of ``unfog dmri``, from files to files: a module for each."""
