"""Grandstand put together: the command line, the settings, and the platform on one machine."""
