"""Pure cost model: workload and inputs in, cost lines, cash flows and risk out.

No clock, disk, network or global randomness: time, numbers and random generators are arguments.
Inputs are arrays of any broadcastable shape, so that one code path serves the central case, the
Monte Carlo, the tornado and the break-even surface.
"""
