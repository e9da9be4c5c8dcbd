"""`auto` takes what the network bears and the device computes, says why, and never what is emulated or unmeasured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import JobError
from tasks.nets.detail_net import DetailNet
from tasks.nets.rrdb_net import RRDBNet
from tasks.nets.srvgg_net import SRVGGNet
from tasks.runtime.choice import AUTO, PRECISIONS, RUNTIMES, Machine, Precision, Wish, choose_way
from tasks.runtime.machine import _half_of_gpu, machine_of

PLAIN = Machine("cpu", "this processor")
NEW = Machine("cpu", "this processor", ("bf16",))
CARD = Machine("cuda", "L4", ("fp16", "bf16"))
OLD_CARD = Machine("cuda", "GTX 1080", ())
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
    st.sampled_from([PLAIN, NEW, CARD, OLD_CARD, Machine("cpu", "x", (), "there is no compiler")]),
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
    assert way.reason.endswith("asked for, although this processor computes it in software, many times slower")


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
