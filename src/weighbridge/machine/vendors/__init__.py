"""Who finds GPUs here: each module of this folder asks one vendor's driver, and is found by its name.

A module has `IS_VENDOR = True`, `IS_LAST` (True for one that lists only what no other has found), and
`find(known, memory)`.
"""
