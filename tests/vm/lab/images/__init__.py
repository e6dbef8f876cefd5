"""Guest images of the lab: root file system, kernels, Python packages, the project."""
