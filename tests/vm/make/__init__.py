"""Recordings that the project ships, made again in the lab."""
