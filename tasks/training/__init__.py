"""How the small networks that ship with the package are trained again from nothing."""
