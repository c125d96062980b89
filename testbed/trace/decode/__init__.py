"""What is in the messages of a run, field by field, opened with its keys where they are there.

Like all of testbed.trace it shares no code with the agents. Fields are lines of `name: value`, each
level two spaces further in. Key material is told by its length only: what shows it is for reading.
"""
