"""A camera and a detector for demonstrations and tests. On a robot, use real ones."""
