"""Greedy supervised training on STL-10: a head a module.

The data and the training of `stl10_supervised`, in the three modules of
`stl10_gim`: each by the cross-entropy of a linear head of its own.

Paper row: "Greedy supervised", STL-10.
Expected:  65.2 % (from memory, unverified); not run by us.
Cost:      as `stl10_supervised`.
Command:   gim run --experiment stl10_greedy_supervised \
               --data stl10_binary/ \
               --output-dir outputs/stl10_greedy_supervised
"""

import dataclasses

from gim_tf.experiments.stl10_supervised import EXPERIMENT as SUPERVISED

EXPERIMENT = dataclasses.replace(
    SUPERVISED,
    name="stl10_greedy_supervised",
    summary="Greedy supervised: a classifier for each of three modules, STL-10",
    paper="STL-10, greedy supervised",
    stack=dataclasses.replace(
        SUPERVISED.stack,
        module_sizes=(4, 4, 6),
    ),
)
