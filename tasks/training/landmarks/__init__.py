"""How the landmark network is made: footage, teacher, labels, variants, fitting and figures."""
