"""The lab: boots a real kernel in QEMU and runs commands in it."""
