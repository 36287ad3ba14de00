"""Prediction on videos of any length: frames are read, segmented and written one after the other, at the same time."""
