"""The voice networks from nothing: synthetic speech, measured clips, training, figures.

`python -m tasks.training.voice --data DIR --teacher FILE --out FILE` does all of it.  It needs two
command line tools that the product does not: `espeak-ng` (speech) and `ffmpeg` (sound of the clips).
"""
