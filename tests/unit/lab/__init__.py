"""Tests of the lab itself that need no virtual machine."""
