"""The fault workload that runs in the lab, and a parser of the kernel's reports."""
