"""Everything pip needs to know.

`kernels/` and `benchmarks/` are installed as `tinygen.kernels` and `tinygen.benchmarks`: a top-level package called
`kernels` would collide with a public one of that name.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
MOVED = {"tinygen.kernels": "kernels", "tinygen.benchmarks": "benchmarks"}

plots = ["matplotlib>=3.8"]
train = [*plots, "rich>=13", "tqdm>=4.66"]
test = [
    *train, "autograd>=1.7", "hypothesis>=6.100", "pytest>=8.1", "pytest-xdist>=3.6", "safetensors>=0.4.3",
    "scikit-learn>=1.4",
]  # fmt: skip
dev = ["coverage>=7.10", "mypy~=2.4", "pre-commit>=3.7", "ruff~=0.17.0"]  # linters change their minds between versions
bench = [*plots, "jax>=0.6", "torch==2.13.0"]


def version() -> str:
    """`tinygen.__version__`, the one place it is written; read, not imported, so that a build needs no NumPy."""
    found = re.search(r'^__version__ = "([^"]+)"', (ROOT / "tinygen" / "__init__.py").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit('setup.py: tinygen/__init__.py has no line __version__ = "..."')
    return found[1]


def packages() -> list[str]:
    """`tinygen` and its sub-packages, and each moved folder with its own under the name it is imported by."""
    found = find_packages(include=["tinygen", "tinygen.*"])
    for name, folder in MOVED.items():
        found += [name, *(f"{name}.{child}" for child in find_packages(folder))]
    return found


setup(
    name="tinygen",
    version=version(),
    description="Generative models from the metal up: own kernels, a small autograd, VAE, PixelCNN, RealNVP, GAN.",
    long_description=(ROOT / "README.md").read_text("utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=packages(),
    package_dir=MOVED,
    package_data={
        "tinygen": ["py.typed"],
        "tinygen.data": ["*.npz"],
        "tinygen.kernels": ["*/*.cu", "_cuda/*.h", "_cuda/*.json"],
    },
    install_requires=["numba>=0.60", "numpy>=1.26.4", "scipy>=1.12"],
    extras_require={
        "plots": plots,
        "train": train,
        "test": test,
        "dev": dev,
        "bench": bench,
        # with NVRTC, and the headers that CuPy's own kernels include
        "cuda12": ["cupy-cuda12x>=14", "cuda-toolkit[cudart,nvrtc]==12.*"],
        "cuda13": ["cupy-cuda13x>=14", "cuda-toolkit[cudart,nvrtc]==13.*"],
        "all": sorted({*test, *dev, *bench}),
    },
    entry_points={
        "console_scripts": ["tinygen = tinygen.cli:main"],
        # under the module's own name: loading it by that name as well does no harm
        "pytest11": ["tinygen.testing.plugin = tinygen.testing.plugin"],
    },
)
