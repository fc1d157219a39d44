"""Images: data sets, image files, and how processes share batches."""
