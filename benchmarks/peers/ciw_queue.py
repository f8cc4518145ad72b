"""A first-come-first-served queue in Ciw on arrivals and service times that are given.

    python ciw_queue.py GIVEN.npz FOUND.npy

GIVEN holds ``gaps_s``, ``service_s`` and ``servers``; FOUND is start and end of each request, shape ``(n, 2)``.
"""

from __future__ import annotations

import sys

import ciw
import numpy as np

given = np.load(sys.argv[1])
n = given["gaps_s"].size
network = ciw.create_network(
    arrival_distributions=[ciw.dists.Sequential([*given["gaps_s"].tolist(), float("inf")])],
    service_distributions=[ciw.dists.Sequential(given["service_s"].tolist())],
    number_of_servers=[int(given["servers"])],
)
simulation = ciw.Simulation(network)
simulation.simulate_until_max_customers(n, method="Finish")
found = np.full((n, 2), np.nan)
for record in simulation.get_all_records():
    found[record.id_number - 1] = record.service_start_date, record.exit_date
np.save(sys.argv[2], found)
