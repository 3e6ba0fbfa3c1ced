"""The files of the named data sets: name, size in bytes, checksum, and the public address where one is known."""

from __future__ import annotations

from typing import NamedTuple

DIGITS = "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e"  # sha256 of the digits.npz beside this file


class File(NamedTuple):
    """One file; `checksum` is a SHA-256 (64 hexadecimal digits) or, where the owner gives only that, an MD5 (32).

    Size and checksum are those at `url`; without an address nothing is fetched and they need not be known.
    """

    name: str
    size: int = 0
    checksum: str = ""
    url: str | None = None


def _at(address: str, *rows: tuple[str, int, str], ending: str = "") -> tuple[File, ...]:
    """Files of one address; `ending` replaces the suffix there."""
    return tuple(
        File(name, size, checksum, f"{address}/{name.rpartition('.')[0] + ending if ending else name}")
        for name, size, checksum in rows
    )


GITHUB = "https://raw.githubusercontent.com"
IDX_NAMES = (
    "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
)  # fmt: skip

MNIST = _at(
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    (IDX_NAMES[0], 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    (IDX_NAMES[1], 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    (IDX_NAMES[2], 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    (IDX_NAMES[3], 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
)
FASHION_MNIST = _at(
    f"{GITHUB}/zalandoresearch/fashion-mnist/b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion",
    (IDX_NAMES[0], 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
    (IDX_NAMES[1], 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    (IDX_NAMES[2], 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
    (IDX_NAMES[3], 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
)
# MATLAB files under the name of text files; here they bear their own suffix
BINARIZED_MNIST = _at(
    f"{GITHUB}/mingzhang-yin/ARM-gradient/bac893cfcec486bbd00b755b12cf8402053b0e84",
    ("binarized_mnist_train.mat", 2_852_060, "79a0312c7389d855cfc97e3812de3998417c5829d8a51543b56a90a91252ae7e"),
    ("binarized_mnist_valid.mat", 571_883, "7436afc856959075c7787025bb8a4ba2b520b9230ee39667c66aa7dd2819dd68"),
    ("binarized_mnist_test.mat", 490_132, "5bc30222e1e7896cbccd1e1db6b28540cc1230f4d2d5473841a5f6cc54be8d38"),
    ending=".amat",
)
CIFAR10 = _at(
    "https://www.cs.toronto.edu/~kriz",
    ("cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530"),
)
CIFAR10_SUBSET = (File("cifar10_train10000_test2000.npz"),)
FREYFACES = (File("freyfaces.npz"),)
OLIVETTI = (File("olivettifaces.mat"),)
MINIBOONE_SUBSET = (File("miniboone_maf_first_rows.npy"),)
MINIBOONE = (File("data.npy"),)  # of the archive that accompanies "Masked Autoregressive Flow"

DEBD = {
    name: _at(
        f"{GITHUB}/arranger1044/DEBD/d5e0c95fef9e418a39feccddae5d7a7526c1e8de/datasets/{name}",
        *((f"{name}.{part}.data", size, checksum) for part, size, checksum in rows),
    )
    for name, rows in {
        "nltcs": (
            ("train", 517_792, "e547a7aedad1dd2f7177030881ab1b92c7e24ae5464c71a0f1f89daecaf52b30"),
            ("valid", 69_024, "93bbbf5c6febdc9bc6e5b5bfab636f4dc0685ab2896d24b23dd267794c3bfcf6"),
            ("test", 103_552, "f9ffa6b74b27dc03bee3203d157ee31079e80b13be40d0c0093d635c25aed523"),
        ),
        "baudio": (
            ("train", 3_000_000, "b1ec73f4aa9d4ce48b465ded865cc3d22b3f68cf6258f9e15fbef8902138add1"),
            ("valid", 400_000, "7164d8a4943f74953f0e982002d84693fdf483e17f69e7407dc939c5ce5622fe"),
            ("test", 600_000, "1474f3206f1f35e099803a0f40b0cd209bdc8d787825095ef6cb23fd87ed0d05"),
        ),
        "mushrooms": (
            ("train", 448_000, "465c712c066bbbee3ccceded24bbe42b4c379df67b524e28cce9bf3a8b83f27b"),
            ("valid", 112_000, "5a067e6854df71623415e6adc8e913cbff766637a324788882ba800907aa5385"),
            ("test", 1_259_776, "313c5f04b5d0a18bee2f2ffa264be265d09f5362aad6f714637acd9552f81aa0"),
        ),
        "dna": (
            ("train", 576_000, "bb8de0ca4b6ad9b610036b7a302962ebecd4b504354b14c02c7d0bee48d207d9"),
            ("valid", 144_000, "4b0fc89cda5eaf5c75926e281afb6af99de194a546070d5b81b524ba251f4f3f"),
            ("test", 426_960, "fec3ae7b26804020a9c43c99828441c5e08bb76b23719368a74ad2b09af99100"),
        ),
        "nips": (
            ("train", 400_000, "4d744cb1f2c725405bff6ef6878df06eafbbc2a91f0510e0f3d8a508b05ec7bb"),
            ("valid", 100_000, "b06acd8e6a701d63d4e58b5076c11c59bcd0343fb9b1fbb5997459d3e6b8ca96"),
            ("test", 1_240_000, "48711bdaffbd43aa439679785e19d9cc80c64a157fa84eadc5dce60ee4edf7bc"),
        ),
    }.items()
}
