"""`make stress`: loops, races, crashes, faults, exits and chaos for minutes."""
