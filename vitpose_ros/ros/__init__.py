"""The thin layer between ROS 2 and the core: conversions and wiring, no mathematics."""
