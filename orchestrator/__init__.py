"""What runs, where and when: the study file, its cells and keys, the plan, the schedule and the driver.

The pure core (study, cell, key, cost, plan, schedule, retry) knows nothing of Ray and touches no dataset.
"""
