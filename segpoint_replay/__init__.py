"""Bag replay: what the node would have said about what a robot saw, measured and shown.

A bag's clouds are answered offline, as fast as the machine goes, or by the live node over DDS; both give the same
record, from which the figures, the report and the answers' bag are made. Without a ROS installation it works offline.
"""
