"""Grandstand put together: the command line, the settings, and the platform brought up on a machine."""
