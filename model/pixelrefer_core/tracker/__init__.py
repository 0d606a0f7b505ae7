"""Streaming trackers behind one protocol."""
