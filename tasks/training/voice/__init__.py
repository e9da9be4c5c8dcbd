"""The voice networks from nothing: synthetic speech, measured clips, training, figures.

`python -m tasks.training.voice --data DIR --teacher FILE --out FILE` does all of it.  It needs one
thing that the product does not: the espeak-ng library (Debian: `apt-get install espeak-ng`).
"""
