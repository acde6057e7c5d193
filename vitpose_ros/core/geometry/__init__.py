"""Where things are: crops of images, keypoints in heatmaps, cameras."""
