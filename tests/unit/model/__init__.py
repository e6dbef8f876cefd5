"""The model and the replayer."""
