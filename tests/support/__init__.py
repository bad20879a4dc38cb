"""What several tests share: exact priors, phantoms, files, and the command line in this process."""
