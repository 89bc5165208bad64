"""`python -m tests.bench [name ...]`: what an item, a press, a poll cost, each against a reference in the same run.

`rounds` plays contestants against one another, `racing` some of them for seconds of steady work, `figures` makes ratios
of it and judges them. `database` owns what is measured on, `stage` holds what measurements share, `daemons` runs other
systems, `machine` says where it was, and `report` writes it down. `measures/` has a module for each measurement, `bare`
the programs that they are measured against.
"""
