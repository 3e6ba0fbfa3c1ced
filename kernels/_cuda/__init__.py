"""CUDA: everything about it that is not a kernel.

    device.h                  the dialect that the .cu files are written in, for two compilers
    host.h                    the second one's half: CUDA emulated on the host, threads as fibers in several orders
    walk.h, walk.py           arrays of any strides, entry by entry
    rows.h, rows.py           sums and extremes along an axis
    philox.h, formulas.h      random words; functions of one entry
    tile.h, tile.py           products of matrices, tile by tile; float32 on tensor cores where that is asked for
    epilogue.h, epilogue.py   what follows one in the same pass
    source.py                 the text of a .cu file for some types
    launcher.py               one launch, on a GPU through CuPy or on the host
    scratch.py                working memory of a launch
    graph.py                  launches of a recorded step as CUDA graphs
    gpu_build.py              compiles for the GPU that is there
    host_build.py             compiles for the host, with sanitizers if asked for
    host_array.py             the emulated device's array
    host_stream.py            its streams and graphs
    compilers.py              nvcc and NVRTC, where there need not be a GPU
    survey.py                 what this machine has for CUDA, and what mends what it lacks
    gate.py                   compiles for GPUs without one, and holds registers and shared memory to a table

A family's kernels are a `.cu` file and a `cuda.py` beside its `cpu.py`: names and signatures are the same, and
`cuda.py` holds the geometry of each launch.
"""
