"""Read a trace into the model, replay it in several processes, and reach a verdict.

The one place where tables (polars) meet the model (plain Python).
"""
