"""The models that Reelyard knows by name: data alone, taken from public packaging files and repositories.

Hashes are as published; a file that differs is refused, whoever served it.
"""

from typing import Final

from pipeline.model import COMMERCIAL_USE, Model

_HF: Final = "https://huggingface.co"
_REAL_ESRGAN: Final = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_FACEFUSION: Final = f"{_HF}/facefusion"
_NO_COMMERCE: Final = (COMMERCIAL_USE,)
_WAV2LIP_LICENCE: Final = "research, academic and personal use only"
_INSIGHTFACE_LICENCE: Final = "non-commercial research only"

#: Real-ESRGAN's: name, architecture, release, file, bytes where known, sha256.
_ENLARGING: Final = (
    ("realesr-animevideov3", "srvgg", "v0.2.5.0", "realesr-animevideov3.pth", None,
     "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d"),
    ("realesr-general-x4v3", "srvgg", "v0.2.5.0", "realesr-general-x4v3.pth", None,
     "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292"),
    ("realesr-general-wdn-x4v3", "srvgg", "v0.2.5.0", "realesr-general-wdn-x4v3.pth", None,
     "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca"),
    ("realesrgan-x4plus", "rrdb", "v0.1.0", "RealESRGAN_x4plus.pth", 67_040_989,
     "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1"),
    ("realesrgan-x2plus", "rrdb", "v0.2.1", "RealESRGAN_x2plus.pth", None,
     "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb"),
    ("realesrgan-x4plus-anime-6b", "rrdb", "v0.2.2.4", "RealESRGAN_x4plus_anime_6B.pth", None,
     "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da"),
)  # fmt: skip

MODELS: Final = (
    Model(
        name="wav2lip",
        task="lip sync",
        architecture="wav2lip-96",
        file="wav2lip.pth",
        sha256="b78b681b68ad9fe6c6fb1debc6ff43ad05834a8af8a62ffc4167b7b34ef63c37",
        size_bytes=435_807_851,
        licence=_WAV2LIP_LICENCE,
        forbids=_NO_COMMERCE,
        page="https://github.com/Rudrabha/Wav2Lip",
        key="state_dict",
        precisions=("fp32", "bf16"),
    ),
    Model(
        name="wav2lip-gan",
        task="lip sync",
        architecture="wav2lip-96",
        file="wav2lip_gan.pth",
        sha256="ca9ab7b7b812c0e80a6e70a5977c545a1e8a365a6c49d5e533023c034d7ac3d8",
        size_bytes=435_801_865,
        licence=_WAV2LIP_LICENCE,
        forbids=_NO_COMMERCE,
        urls=(f"{_HF}/camenduru/Wav2Lip/resolve/main/checkpoints/wav2lip_gan.pth",),
        page="https://github.com/Rudrabha/Wav2Lip",
        key="state_dict",
        precisions=("fp32", "bf16"),
    ),
    Model(
        name="syncnet",
        task="sound offset",
        architecture="syncnet-color",
        file="lipsync_expert.pth",
        sha256="9b9936c721696446eeed353032cab242a8cf0eed8c46cde540366f6ae5493be5",
        licence=_WAV2LIP_LICENCE,
        forbids=_NO_COMMERCE,
        page="https://github.com/Rudrabha/Wav2Lip",
        key="state_dict",
    ),
    Model(
        name="s3fd",
        task="face detection",
        architecture="s3fd",
        file="s3fd-619a316812.pth",
        sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
        size_bytes=89_843_225,
        licence="BSD-3-Clause",
        urls=("https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",),
        precisions=("fp32", "bf16"),
    ),
    Model(
        name="yunet-2023mar",
        task="face detection",
        architecture="yunet",
        file="face_detection_yunet_2023mar.onnx",
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        size_bytes=232_589,
        licence="MIT",
        urls=(
            f"{_HF}/opencv/face_detection_yunet/resolve/3cc26e7f1014a5ee5d74a42acee58bafc9d0a310/"
            "face_detection_yunet_2023mar.onnx",
            "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/"
            "0047ac24afb1a50a0c6105001c89d1b5b805dbf1/onnx/yunet_s_640_640.onnx",
        ),
    ),
    Model(
        name="yunet",
        task="face detection",
        architecture="yunet",
        file="yunet_n_640_640.onnx",
        sha256="25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31",
        size_bytes=317_466,
        licence="Apache-2.0",
        urls=(
            "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/"
            "0047ac24afb1a50a0c6105001c89d1b5b805dbf1/onnx/yunet_n_640_640.onnx",
        ),
    ),
    Model(
        name="retinaface-10g",
        task="face detection",
        architecture="scrfd",
        file="det_10g.onnx",
        sha256="5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",
        size_bytes=16_923_827,
        licence=_INSIGHTFACE_LICENCE,
        forbids=_NO_COMMERCE,
        urls=(f"{_HF}/public-data/insightface/resolve/main/models/buffalo_l/det_10g.onnx",),
    ),
    Model(
        name="retinaface-mobile",
        task="face detection",
        architecture="retinaface-mobile0.25",
        file="mobilenet0.25_Final.pth",
        sha256="2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
        size_bytes=1_789_735,
        licence="MIT",
        urls=(
            "https://github.com/xinntao/facexlib/releases/download/v0.1.0/detection_mobilenet0.25_Final.pth",
            f"{_HF}/datasets/datnguyentien204/FaceDetection/resolve/ee28498e404d3107ad0ee0d9001ca18bd6d2a96c/"
            "Retinaface_model_v2/mobilenet0.25_Final.pth",
        ),
        page="https://github.com/biubug6/Pytorch_Retinaface",
    ),
    Model(
        name="retinaface-resnet50",
        task="face detection",
        architecture="retinaface-resnet50",
        file="detection_Resnet50_Final.pth",
        sha256="6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
        size_bytes=109_497_761,
        licence="MIT",
        urls=("https://github.com/xinntao/facexlib/releases/download/v0.1.0/detection_Resnet50_Final.pth",),
        page="https://github.com/biubug6/Pytorch_Retinaface",
    ),
    Model(
        name="face-mesh",
        task="face landmarks",
        architecture="face-mesh",
        file="facemesh.pth",
        sha256="a8395f8a89b15cabdd2e97df1c66280de4697a5484ebe03936c2e36e90a0a25a",
        size_bytes=2_440_411,
        licence="Apache-2.0",
        urls=(
            "https://raw.githubusercontent.com/thepowerfuldeez/facemesh.pytorch/"
            "348400fe32c60111a29e9e6891e230c0005ddd8a/facemesh.pth",
        ),
    ),
    Model(
        name="fan-68",
        task="face landmarks",
        architecture="2dfan4",
        file="2dfan4.onnx",
        sha256="678c6fa539d52335a31c980feefdf4a6e02d781d83dce00af8a894f114557285",
        size_bytes=97_904_803,
        licence="BSD-3-Clause",
        urls=(f"{_FACEFUSION}/models-3.0.0/resolve/main/2dfan4.onnx",),
    ),
    Model(
        name="arcface",
        task="face embedding",
        architecture="arcface-r50",
        file="arcface_w600k_r50.onnx",
        sha256="f1f79dc3b0b79a69f94799af1fffebff09fbd78fd96a275fd8f0cbbea23270d1",
        size_bytes=174_388_474,
        licence=_INSIGHTFACE_LICENCE,
        forbids=_NO_COMMERCE,
        urls=(f"{_FACEFUSION}/models-3.0.0/resolve/main/arcface_w600k_r50.onnx",),
    ),
    Model(
        name="face-parsing",
        task="mask",
        architecture="bisenet-34",
        file="bisenet_resnet_34.onnx",
        sha256="4a0b8c958a3c938913bd06a8365dbb3c8761afba6ecbf0d14b3b1f77eb230c96",
        size_bytes=93_632_546,
        licence="MIT",
        urls=(f"{_FACEFUSION}/models-3.0.0/resolve/main/bisenet_resnet_34.onnx",),
    ),
    Model(
        name="face-parsing-18",
        task="mask",
        architecture="bisenet-18",
        file="face-parsing-bisenet.pth",
        sha256="468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
        licence="MIT; trained on CelebAMask-HQ, whose terms are non-commercial research",
        forbids=_NO_COMMERCE,
        urls=(
            "https://github.com/clibdev/face-parsing.PyTorch/releases/latest/download/face-parsing-bisenet.pth",
            f"{_HF}/vivym/face-parsing-bisenet/resolve/main/79999_iter.pth",
        ),
        page="https://github.com/zllrunning/face-parsing.PyTorch",
    ),
    Model(
        name="occlusion",
        task="mask",
        architecture="xseg",
        file="xseg_3.onnx",
        sha256="48ccd7e8541e159a5a754ec9e62df2f12065f7df8f9af842c1750342c6533559",
        size_bytes=70_327_709,
        licence="GPL-3.0",
        urls=(f"{_FACEFUSION}/models-3.2.0/resolve/main/xseg_3.onnx",),
    ),
    Model(
        name="gfpgan",
        task="face restoration",
        architecture="gfpgan-clean",
        file="GFPGANv1.4.pth",
        sha256="e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
        size_bytes=348_632_874,
        licence="Apache-2.0, third-party parts in its LICENSE",
        urls=("https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.4.pth",),
        key="params_ema",
    ),
    Model(
        name="gfpgan-1.3",
        task="face restoration",
        architecture="gfpgan-clean",
        file="GFPGANv1.3.pth",
        sha256="c953a88f2727c85c3d9ae72e2bd4846bbaf59fe6972ad94130e23e7017524a70",
        size_bytes=348_632_874,
        licence="Apache-2.0, third-party parts in its LICENSE",
        urls=("https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.3.pth",),
        key="params_ema",
    ),
    Model(
        name="codeformer",
        task="face restoration",
        architecture="codeformer",
        file="codeformer.pth",
        sha256="1009e537e0c2a07d4cabce6355f53cb66767cd4b4297ec7a4a64ca4b8a5684b7",
        size_bytes=376_637_898,
        licence="S-Lab 1.0",
        forbids=_NO_COMMERCE,
        urls=("https://github.com/sczhou/CodeFormer/releases/download/v0.1.0/codeformer.pth",),
        key="params_ema",
    ),
    *(
        Model(
            name=name,
            task="upscale",
            architecture=architecture,
            file=file,
            sha256=sha256,
            size_bytes=size_bytes,
            licence="BSD-3-Clause",
            urls=(f"{_REAL_ESRGAN}/{release}/{file}",),
        )
        for name, architecture, release, file, size_bytes, sha256 in _ENLARGING
    ),
)
