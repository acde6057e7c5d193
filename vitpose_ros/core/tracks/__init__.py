"""Who is who: people followed from frame to frame, and their keypoints smoothed."""
