"""What this machine has, and how fast it is: `semask doctor` and `semask bench`.

Gets a segmenter, or nothing. Gives frozen records of versions, devices, operators, times and memory.
"""
