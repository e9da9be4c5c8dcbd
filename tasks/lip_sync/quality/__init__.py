"""How good drawn mouths came out: looked at while they are drawn, judged over the whole video."""
