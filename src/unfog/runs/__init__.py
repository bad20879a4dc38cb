"""A trained model in a folder, and the verbs on arrays: train, sample, restore, edit, distil,
calibrate.
"""
