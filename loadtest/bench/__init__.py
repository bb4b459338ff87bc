"""Measurements of parts of Grandstand, each beside what bounds it."""
