"""Reading and writing files: volumes, pictures, arrays and raw data, each checked when read and
written complete or not at all.
"""
