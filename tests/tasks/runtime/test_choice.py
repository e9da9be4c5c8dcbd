"""`auto` takes what the network bears and the device computes, says why, and never what is emulated or unmeasured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import JobError
from tasks.nets.detail_net import DetailNet
from tasks.nets.rrdb_net import RRDBNet
from tasks.nets.srvgg_net import SRVGGNet
from tasks.runtime.choice import AUTO, PRECISIONS, RUNTIMES, Machine, Precision, Provider, Wish, choose_way, in_common
from tasks.runtime.machine import _half_of_gpu, machine_of

PLAIN = Machine("cpu", "this processor")
NEW = Machine("cpu", "this processor", ("bf16",))
CARD = Machine("cuda", "L4", ("fp16", "bf16"))
OLD_CARD = Machine("cuda", "GTX 1080", ())
ONNX = Machine("cuda", "L4", ("fp16", "bf16"), providers=(Provider("tensorrt", "no libnvinfer"), Provider("cuda")))
NETWORKS = (SRVGGNet, RRDBNet, DetailNet)


@pytest.mark.parametrize(
    ("machine", "network", "precision", "words"),
    [
        (PLAIN, SRVGGNet, "fp32", "this processor computes fp16 and bf16 in software"),
        (NEW, SRVGGNet, "bf16", "this processor computes bf16 in hardware and net bears it"),
        (NEW, RRDBNet, "fp32", "this processor computes fp16 in software"),
        (CARD, SRVGGNet, "fp16", "L4 computes fp16 in hardware and net bears it"),
        (CARD, RRDBNet, "fp16", "L4 computes fp16 in hardware"),
        (CARD, DetailNet, "fp32", "net bears nothing less"),
        (OLD_CARD, RRDBNet, "fp32", "GTX 1080 computes fp16 in software"),
    ],
)
def test_auto_takes_what_hardware_computes_and_the_network_bears(
    machine: Machine, network: type[SRVGGNet], precision: Precision, words: str
) -> None:
    way = choose_way(Wish(), machine, network.precisions, "net")
    assert (way.runtime, way.precision) == ("eager", precision)
    assert words in way.reason and str(way).startswith(f"eager at {precision} (channels last")


@given(
    st.sampled_from([AUTO, *RUNTIMES]),
    st.sampled_from([AUTO, *PRECISIONS]),
    st.sampled_from([PLAIN, NEW, CARD, OLD_CARD, Machine("cpu", "x", (), "there is no compiler"), ONNX]),
    st.sampled_from(NETWORKS),
)
def test_what_is_chosen_is_what_was_asked_and_what_the_network_bears(
    runtime: str, precision: str, machine: Machine, network: type[SRVGGNet]
) -> None:
    try:
        way = choose_way(Wish(runtime, precision), machine, network.precisions, "net")
    except JobError as error:
        assert (runtime, precision) != (AUTO, AUTO), "auto always finds a way"
        assert "was asked for" in error.message and "auto" in error.message
        return
    assert way.precision in network.precisions and way.reason
    assert way.runtime == runtime or runtime == AUTO
    assert way.precision == precision or precision == AUTO
    assert precision != AUTO or way.precision == "fp32" or way.precision in machine.half
    assert way.hardware or way.precision not in machine.half
    assert (way.provider != "") == (way.runtime == "onnx")


def test_what_cannot_be_had_is_refused_in_words() -> None:
    def refusal(machine: Machine, network: type[SRVGGNet], runtime: str = AUTO, precision: str = AUTO) -> str:
        with pytest.raises(JobError) as refused:
            choose_way(Wish(runtime, precision), machine, network.precisions, "RRDBNet (x4plus)")
        return refused.value.message

    assert refusal(CARD, RRDBNet, precision="bf16") == (
        "precision=bf16 was asked for, but RRDBNet (x4plus) bears only fp16, fp32 without visible harm; "
        "use one of these, or auto"
    )
    assert refusal(PLAIN, RRDBNet, precision="fp16") == (
        "precision=fp16 was asked for on this processor; it is for GPUs: use fp32, or auto"
    )
    assert refusal(PLAIN, RRDBNet, runtime="graphs") == (
        "runtime=graphs was asked for RRDBNet (x4plus) on this processor, which has no CUDA graphs; use eager, or auto"
    )
    bare = Machine("cpu", "this processor", (), "there is no C++ compiler on this machine")
    assert "but there is no C++ compiler on this machine; install a C++ compiler" in refusal(bare, RRDBNet, "compile")


def test_bf16_in_software_is_had_when_asked_for_and_said() -> None:
    way = choose_way(Wish(AUTO, "bf16"), PLAIN, SRVGGNet.precisions, "net")
    assert way.reason.endswith("asked for; this processor computes fp32 and rounds to bf16 in software")
    assert not way.hardware


def test_onnx_takes_the_first_provider_that_opens_and_says_why_not_one_before_it() -> None:
    way = choose_way(Wish("onnx"), ONNX, SRVGGNet.precisions, "net")
    assert (way.runtime, way.provider, way.precision) == ("onnx", "cuda", "fp16")
    assert str(way).startswith("onnx by cuda at fp16 (asked for; tensorrt does not open: no libnvinfer; L4 computes")


def test_onnx_without_a_provider_is_refused_with_what_to_install() -> None:
    broken = Machine("cuda", "L4", ("fp16",), providers=(Provider("tensorrt", "none"), Provider("cuda", "no cuDNN")))
    with pytest.raises(JobError) as refused:
        choose_way(Wish("onnx"), broken, SRVGGNet.precisions, "net")
    assert refused.value.message == (
        "runtime=onnx was asked for net on L4, but tensorrt does not open: none; cuda does not open: no cuDNN; "
        "install onnxruntime-gpu, or use auto"
    )


def test_onnx_never_gets_bf16() -> None:
    onnx = Machine("cpu", "this processor", ("bf16",), providers=(Provider("cpu"),))
    assert choose_way(Wish("onnx"), onnx, SRVGGNet.precisions, "net").precision == "fp32"
    assert choose_way(Wish(), onnx, SRVGGNet.precisions, "net").precision == "bf16"


@given(
    st.lists(st.sampled_from([PLAIN, NEW]), min_size=1, max_size=4)
    | st.lists(st.sampled_from([CARD, OLD_CARD, ONNX]), min_size=1, max_size=4),
    st.sampled_from(NETWORKS),
    st.sampled_from([PLAIN, NEW, CARD, OLD_CARD]),
)
def test_all_nodes_of_a_run_draw_at_one_precision_whatever_they_compute(
    offered: list[Machine], network: type[SRVGGNet], late: Machine
) -> None:
    """Those that were there when it was settled, one that comes later, and the processor of the ladder's last step."""
    like = in_common(offered)
    ways = [choose_way(Wish(), m, network.precisions, "net", like=like) for m in (*offered, late, PLAIN)]
    assert len({way.precision for way in ways}) == 1
    for way, machine in zip(ways, (*offered, late, PLAIN), strict=True):
        assert way.hardware == (way.precision == "fp32" or way.precision in machine.half)
        assert way.hardware or f"rounds to {way.precision} in software" in way.reason


def test_the_last_step_of_the_ladder_keeps_the_precision_and_leaves_the_back_end() -> None:
    way = choose_way(Wish("graphs"), PLAIN, RRDBNet.precisions, "net", like=CARD)
    assert (way.runtime, way.precision, way.hardware) == ("eager", "fp16", False)
    assert way.reason == (
        "runtime=graphs is for L4, and this is this processor; L4 computes fp16 in hardware and net bears it; "
        "this processor computes fp32 and rounds to fp16 in software"
    )


def test_halves_of_gpus_follow_their_generation() -> None:
    assert [_half_of_gpu(ability) for ability in ((6, 1), (7, 5), (8, 9), (9, 0))] == [
        (),
        ("fp16",),
        ("fp16", "bf16"),
        ("fp16", "bf16"),
    ]


def test_this_machines_processor_has_no_fp16() -> None:
    machine = machine_of("cpu")
    assert machine.kind == "cpu" and "fp16" not in machine.half
