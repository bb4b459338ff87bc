"""Load, from outside and over HTTP.

Nothing here imports the rest of Grandstand, but the bench's `inside_*`, which measure it without.
"""
