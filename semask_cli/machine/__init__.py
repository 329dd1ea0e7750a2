"""Facts about this machine: doctor.py finds versions, devices and operators, benchmark.py measures time and memory."""
