"""The machine: processors, memory, time."""
