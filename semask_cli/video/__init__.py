"""Videos: frames from a file, a camera or a stream, overlays into a file. Needs the extra `semask[video]`.

reading.py yields frames with their times, writing.py writes a video in parts that survive a kill, run.py connects them
with the segmenter. Sound is dropped.
"""
