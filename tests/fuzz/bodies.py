"""What the service accepts: rows of a data set, and what a screening may look for."""

ROWS = "id,composition,band_gap\n" + "".join(f"{i},Li{i}Co{i + 1}O{2 * i + 3},{i / 50}\n" for i in range(1, 61))
GOAL = {"property": "formation_energy_per_atom", "goal": "minimise"}
