"""Hostile files, command lines and faults, made from a seed, and what has to hold whatever comes.

    python -m tests.fuzz --seconds 600 --seed 1 --kinds npz,nifti       (make fuzz SECONDS=600)

A kind (inputs.py) makes trials (trial.py): a folder of files and a command line. The command runs in a process that has
its networks loaded already (worker.py, engine.py), or in one of its own (faults/), and promises.py says what it broke.
What is found is kept with what it needs to be run again (found.py).
"""
