"""Bytes in and out: formats of volumes, pictures, arrays and raw data, each checked on the way in
and written whole or not at all.
"""
