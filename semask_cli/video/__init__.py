"""Videos: frames out of a file, a camera or a stream; overlays back into a file. Needs the extra `semask[video]`.

reading.py gives frames with their times, writing.py takes them, in parts that a killed run leaves whole; run.py is the
engine in between. Sound is dropped.
"""
