"""The mathematics of Part I, written out: what torch does for the detector, in code that can be read."""
