"""The effects of the GIL, in figures measured on this machine.

A chapter is a file of this package: a claim, what to measure of it, and words that follow
from the figures (see `gilx.demo.chapter.Chapter`).
"""
