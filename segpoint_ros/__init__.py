"""The ROS 2 face of SegPoint: a node, and conversions between its messages and arrays. It computes nothing itself."""
