"""Whole networks under schedules of faults on the virtual clock, and what has to hold at each step.

A schedule follows from a seed: which packets are lost, doubled, late or altered, which programs are
killed and started again, which links are cut, what strangers do meanwhile. It is carried out in the
simulator by the nodes of the laboratory, as FoundationDB and TigerBeetle do with theirs. What has
to hold is in `invariants`.

This is a part of the tests, with a command line: it judges this project's nodes and measures
nothing that an experiment could ask for, so that who installs the laboratory has no use for it.

    python -m tests.schedules --count 1000
    python -m tests.schedules --seed 17
"""
