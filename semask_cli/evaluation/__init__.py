"""mIoU that can be trusted: counts at native label resolution, resumable, equal for any number of processes."""
