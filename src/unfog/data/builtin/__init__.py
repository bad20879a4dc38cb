"""Built-in data sets. Importing this package registers them all."""
