"""Training objectives. Importing this package registers them all."""
