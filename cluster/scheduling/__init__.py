"""Which cell works on what, and when: pure arithmetic over frozen values, driven by a run or by a simulator."""
