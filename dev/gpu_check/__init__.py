"""Proves what is for CUDA on a real GPU, and measures it: make gpu-check.

parts      what is run, each part a process of its own
checking   runs all parts within a time
running    runs a part within its time, whatever becomes of it
plugin     for pytest: writes what became of each test, as it comes
goals      what the figures should reach
report     what all that amounts to, as lines and as a page
"""
