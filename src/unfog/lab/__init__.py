"""The lab page: a local web page over the commands; ``server.py`` puts it together."""
