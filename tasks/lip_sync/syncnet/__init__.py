"""How far sound lies from mouths, and how well the two agree, as SyncNet hears and sees them."""
