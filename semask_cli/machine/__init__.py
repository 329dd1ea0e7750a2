"""What this machine has, and how fast it is: `semask doctor` and `semask bench`.

Gets a segmenter, or nothing. Gives frozen records: doctor.py of versions, devices and operators, benchmark.py of times
and memory.
"""
