"""``segpoint benchmark``: how fast the method is here, and beside what else does its work."""
