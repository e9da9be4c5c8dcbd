"""The generator among the networks of a device: fewer faces at once where memory is short, and other back ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tasks.errors import JobError, OutOfVram
from tasks.lip_sync.wav2lip.network import BATCH, Generator
from tasks.nets.wav2lip import Wav2Lip
from tasks.residency import residents
from tasks.runtime.choice import Machine
from tests.tasks.lip_sync.generators import at_hand, random_weights, save

#: Of values 0..1: the same sums, added up in another order.
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def _own_residents() -> Iterator[None]:
    residents._open.clear()
    yield
    residents._open.clear()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("w") / "random.pth", random_weights())


def sound_and_faces(count: int) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(1)
    return torch.rand(count, 1, 80, 16, generator=chance) * 8 - 4, torch.rand(count, 3, 96, 96, generator=chance)


def test_want_of_memory_leads_to_fewer_faces_at_once_and_to_no_lost_face(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = Generator(at_hand(checkpoint), "cpu", precision="fp32")
    given = sound_and_faces(5)
    wanted = generator.draw(*given)
    plain, most = Wav2Lip.forward, [1]

    def forward(network: Wav2Lip, mel: Tensor, pairs: Tensor) -> Tensor:
        if len(mel) > most[0]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")
        return plain(network, mel, pairs)

    monkeypatch.setattr(Wav2Lip, "forward", forward)
    drawn = generator.draw(*given)
    steps = residents.residents_on("cpu").steps_since_told()
    assert [step.split(": ", 1)[1] for step in steps] == ["halve: batch 4 → 2", "halve: batch 2 → 1"]
    assert all("lip-sync random" in step for step in steps)
    assert float((drawn - wanted).abs().max()) < TOLERANCE
    most[0] = 0
    with pytest.raises(OutOfVram, match="1 faces at once: CUDA out of memory.*use --device cpu"):
        generator.draw(*given)
    generator.release()


def test_onnx_runtime_draws_the_same_faces(checkpoint: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    given, drawn = sound_and_faces(5), []
    for runtime in ("eager", "onnx"):
        generator = Generator(at_hand(checkpoint), "cpu", precision="fp32", runtime=runtime)
        drawn.append(generator.draw(*given))
        assert generator.way.runtime == runtime and str(generator.way) in generator.arithmetic
        generator.release()
    assert float((drawn[0] - drawn[1]).abs().max()) < TOLERANCE
    assert not torch.equal(drawn[0], drawn[1])


def test_the_same_weights_are_one_network_for_all_who_draw_with_them_alike(checkpoint: Path) -> None:
    one, other = (Generator(at_hand(checkpoint), "cpu", precision="fp32") for _ in range(2))
    rough = Generator(at_hand(checkpoint), "cpu", precision="bf16")
    here = residents.residents_on("cpu")
    assert one.name == other.name != rough.name
    assert len(here.pool.sizes) == 2
    for generator in (one, other, rough):
        generator.release()
    assert here.pool.sizes == {}


def test_its_demand_is_told_before_anything_is_drawn(checkpoint: Path) -> None:
    generator = Generator(at_hand(checkpoint), "cpu", precision="fp32")
    demand = generator.demand()
    assert (demand.model, demand.batch_frames, demand.tile_side) == (generator.name, BATCH["cpu"], 96)
    assert str(demand).startswith(f"lip-sync {generator.name}: 4 at once in tiles of at most 96, about 37 MB")
    generator.release()


@pytest.mark.parametrize(
    ("half", "precision", "words"),
    [(("bf16",), "bf16", "computes fp32 and rounds to bf16 in software"), ((), "fp32", "computes bf16 in software")],
)
def test_it_draws_at_the_precision_that_all_nodes_were_given(
    half: tuple[str, ...], precision: str, words: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    like = Machine("cpu", "the first node's processor", half)  # type: ignore[arg-type]
    generator = Generator(at_hand(checkpoint), "cpu", like=like)
    assert generator.way.precision == precision and words in generator.arithmetic
    generator.release()


def test_what_it_cannot_be_computed_with_is_refused(checkpoint: Path) -> None:
    with pytest.raises(JobError, match="runtime=graphs was asked for random on this processor"):
        Generator(at_hand(checkpoint), "cpu", runtime="graphs")
