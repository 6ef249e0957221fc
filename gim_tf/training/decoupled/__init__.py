"""Decoupled training: a worker a module, or a group of consecutive modules.

A module's update for batch t depends on its input for batch t and on nothing
above it. So each worker owns its modules, their optimizers, random states and
checkpoint, and hands what its last module gives to the next worker through a
bounded queue. No gradient comes back, no step is common to all, and nothing
waits but for the next batch (or, where the queue is full, for room). Fed in
order, every module computes what it computes in the simple loop: the weights
are the same bits (where the numbers of threads are the same).

Löwe et al. (2019), section 2: "decoupled, asynchronous training".

Files: `division` gives workers modules and devices, by what `balance` has
measured; `links` is the protocol between two neighbours, over a mailbox:
`memory` between threads of a process, `remote` between processes and hosts;
`worker` runs one part of a stack.
"""
