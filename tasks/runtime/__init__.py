"""How a network is computed: at what precision and by which back end, chosen with a reason."""
