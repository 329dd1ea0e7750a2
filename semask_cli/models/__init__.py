"""Networks: pixels in, low-resolution predictions out. No file, no command line and no dataset in sight."""
