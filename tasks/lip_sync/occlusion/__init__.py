"""What lies before a mouth, as a microphone or a hand: seen over the whole video, and left as the source has it."""
