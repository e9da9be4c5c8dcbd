"""The task that makes pictures larger: a network over each, held on the device with all others there."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

import torch

from tasks.device_batch import DeviceBatch
from tasks.errors import JobError
from tasks.heap import keep_freed_layers
from tasks.identity import IdentityTask
from tasks.picture import PictureFormat, frames_per_batch
from tasks.residency.demand import Demand
from tasks.residency.ladder import Setting
from tasks.residency.residents import Residents, residents_on
from tasks.residency.shortage import told_as_out_of_vram
from tasks.runtime.choice import Machine, Way, Wish, choose_way
from tasks.runtime.machine import machine_of
from tasks.runtime.run import Held, held, network_of, runner
from tasks.side_by_side import SideBySide
from tasks.task import TaskInputs, TaskSpec
from tasks.upscale.enlarge import Tiling, enlarged
from tasks.upscale.foreign import ForeignNet
from tasks.upscale.networks import AnyNet, Choice, Enlarger, digest_of_embedded, is_tileable
from tasks.upscale.size import AUTO, SMALLEST_TILE, output_size
from tasks.upscale.tiles import even_call, tile_count

#: Bumped by hand when the same network draws otherwise.
_VERSION: Final = 2
#: What a network may compute with in one call, for each kind of device.
_WORKING_BYTES: Final = {"cpu": 256_000_000, "cuda": 2_000_000_000}
_LARGEST_CALL: Final = {"cpu": 1, "cuda": 16}
"On a processor one picture a call is fastest: it stays in the cache.  Several processors make several calls."
#: What pictures that processors draw side by side may take besides, and how often each lies there enlarged.
_SIDE_BY_SIDE_BYTES: Final = 1_000_000_000
_LAYERS: Final = 4


class UpscaleTask(IdentityTask):
    """Every picture at `output_size`; needs no scan.  Options as the table of tasks tells them."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._choice = Choice.of(spec)
        self._residents: Residents | None = None
        self._wish = Wish(spec.option("runtime"), spec.option("precision"))
        self._network: AnyNet | None = None
        self._run: Enlarger | None = None
        self._calls = SideBySide()
        self._device = torch.device("cpu")
        self.arithmetic = ""
        "What is counted of each frame: how it was computed, and why so; empty until it is loaded."

    @property
    def models(self) -> tuple[str, ...]:
        return (self._name,)

    def digest(self) -> str:
        """Of what ships; a model that is named counts for itself."""
        shipped = digest_of_embedded() if self._choice.model is None else ""
        return hashlib.sha256(f"upscale-{_VERSION} {shipped}".encode()).hexdigest()

    def load(self, device: str) -> None:
        """The network among those of the device, in host memory until its first use.

        Raises:
            WeightsError: the weights cannot be read, or are no enlarging network's.
            JobError: the network cannot be computed as was asked for.
        """
        if torch.device(device).type == "cpu":
            keep_freed_layers()
        residents, machine = residents_on(device), machine_of(device, self._wish)

        def made() -> Held:
            network = self._choice.network()
            return held(network, self._way(machine, network), device, residents.built)

        one = residents.add(self._name, made)
        network = network_of(one)
        assert isinstance(network, AnyNet)
        if not is_tileable(network) and self.spec.option("tile") != AUTO:
            residents.remove(self._name)
            raise JobError(
                f"upscale:tile={self.spec.option('tile')}: pixels of {self._choice.name} depend on the whole picture, "
                "so it is never tiled; leave tile= out"
            )
        try:
            way = self._way(machine, network)
            run = runner(one, way, device, residents.built)
        except JobError:
            residents.remove(self._name)
            raise
        self.arithmetic = f"enlarged by {self._choice.name}, {way}"
        self._residents, self._network, self._device = residents, network, torch.device(device)
        self._run = Enlarger(network.scale, network.multiple, network.margin, run)
        if isinstance(network, ForeignNet):
            residents.tell(f"upscale {self._choice.name}: {network.words}")

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> DeviceBatch:
        """The pictures enlarged, in a batch of their own; `batch` itself, as it was, where they have the size.

        Raises:
            OutOfVram: not even one small tile fits the device.
        """
        assert self._residents is not None and self._network is not None and self._run is not None, "not loaded"
        demands = self.demands(batch.format)
        if not demands:
            return batch
        [demand] = demands
        longest = max(batch.format.width, batch.format.height)
        smaller = _smaller_sides(min(demand.tile_side, longest), self._network.margin) if self._tiled else ()
        return self._residents.render(
            demand.what,
            (demand.model,),
            partial(self._rendered, batch, self._run, demand.tile_side),
            batch_frames=demand.batch_frames,
            tile_sides=smaller,
            activation_bytes=demand.activation_bytes,
        )

    def demands(self, format: PictureFormat) -> tuple[Demand, ...]:
        """The network and the pictures of both sizes; nothing where they keep theirs."""
        assert self._network is not None, "not loaded"
        width, height = format.width, format.height
        larger = output_size(self.spec, format)
        if larger == (width, height):
            return ()
        side = self._side(self._network, width * height, max(width, height), max(larger))
        tile_pixels = min(side * side, width * height)
        enlarged_bytes = _LAYERS * 3 * 4 * larger[0] * larger[1]
        tiles = tile_count(width, height, side=side, margin=self._network.margin, multiple=self._network.multiple)
        usual = tiles * frames_per_batch(
            format.frame_bytes, replace(format, width=larger[0], height=larger[1]).frame_bytes
        )
        count = self._at_once(self._network, tile_pixels, enlarged_bytes, usual)
        activation_bytes = count * (self._network.pixel_bytes * tile_pixels + enlarged_bytes)
        what = f"upscale {self._choice.name} of {width}x{height}"
        return (Demand(self._name, what, count, side, activation_bytes),)

    def release(self) -> None:
        if self._residents is not None:
            self._residents.remove(self._name)
        self._residents = self._network = self._run = None
        self._calls.close()

    @property
    def _name(self) -> str:
        """Among the device's networks: the same weights computed in another way are others."""
        like = self.spec.machine
        chosen_by = () if like is None or self._wish.precision != AUTO else (like.kind, *like.half)
        asked = [one for one in (self._wish.precision, self._wish.runtime) if one != AUTO]
        return " ".join((self._choice.name, *asked, *chosen_by))

    def _way(self, machine: Machine, network: AnyNet) -> Way:
        name = f"{type(network).__name__} ({self._choice.name})"
        return choose_way(self._wish, machine, network.precisions, name, like=self.spec.machine)

    def _rendered(self, batch: DeviceBatch, network: Enlarger, side: int, setting: Setting) -> DeviceBatch:
        size = output_size(self.spec, batch.format)
        a_call = min(setting.batch_frames, _LARGEST_CALL[batch.device.type])
        tiling = Tiling(setting.tile_side or side, network.margin, a_call)

        @torch.inference_mode()
        def draw(some: range) -> None:
            rgb = batch.read_whole(some)
            larger.write_whole(some, enlarged(network, rgb, larger.format.upright_size, tiling))

        with told_as_out_of_vram(f"upscale on {batch.device}, tiles of {tiling.side}"):
            larger = batch.resized(*size)
            self._calls.do(draw, _groups(len(batch), a_call), at_once=setting.batch_frames // a_call)
        return larger

    @property
    def _tiled(self) -> bool:
        """Whether a picture may be cut: not where each of its pixels tells on all others."""
        return self._network is None or is_tileable(self._network)

    def _side(self, network: AnyNet, pixels: int, longest: int, longest_after: int) -> int:
        """Of the tiles that are wanted: as asked, else what can be computed at once, a whole picture if that can."""
        if not self._tiled:
            return _whole_multiple(longest_after, network.multiple)
        asked = self.spec.option("tile")
        if asked != AUTO:
            return _whole_multiple(max(int(asked), 3 * network.margin), network.multiple)
        room = _WORKING_BYTES[self._device.type] // network.pixel_bytes
        side = max(int(room**0.5), SMALLEST_TILE, 3 * network.margin)
        return _whole_multiple(max(side, longest) if pixels <= room else side, network.multiple)

    def _at_once(self, network: AnyNet, tile_pixels: int, enlarged_bytes: int, usual: int) -> int:
        """Of a batch's `usual` tiles those in one call on a GPU, in calls that they fill; on processors pictures."""
        if self._device.type == "cpu":
            return max(1, min(self._calls.processors, _SIDE_BY_SIDE_BYTES // enlarged_bytes))
        fitting = _WORKING_BYTES[self._device.type] // (network.pixel_bytes * tile_pixels)
        return even_call(usual, max(1, min(_LARGEST_CALL[self._device.type], fitting)))


def _groups(count: int, size: int) -> Iterator[range]:
    for start in range(0, count, size):
        yield range(start, min(start + size, count))


def _smaller_sides(side: int, margin: int) -> tuple[int, ...]:
    """Halves of the wanted side, down to where more is seen than kept."""
    sides = []
    while (side := _whole_multiple(side // 2, 4)) >= max(SMALLEST_TILE, 4 * margin):
        sides.append(side)
    return tuple(sides)


def _whole_multiple(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
