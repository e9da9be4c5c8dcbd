"""What a task asks of a device for pictures of one size, before any was rendered; knows no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Demand:
    """One network of a chain and what computing with it takes besides."""

    model: str
    "By its name among the device's networks."
    what: str
    "For people: task, network and size."
    batch_frames: int
    "That are computed at once."
    tile_side: int
    "Of what the network sees at once; a smaller picture is seen whole."
    activation_bytes: int
    "Estimated, until it was measured on the device."

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.batch_frames} at once in tiles of at most {self.tile_side}, "
            f"about {self.activation_bytes / 1e6:,.0f} MB besides the network"
        )
