// Moving entries without computing; an entry is T, an unsigned integer of its width.
//
// Traffic: one read and one write of every entry, 2 sizeof(T) bytes; arithmetic: a division of 32 bits for each axis
// that does not merge with its neighbour.  Where the reading side is transposed, a warp reads 32 sectors of 32 bytes
// for 32 entries, and the caches have to serve the rest of each.  Blocks as in elementwise.cu.
#include "walk.h"

#define THREADS 256
#define EACH 4

// y[its steps] = x[its steps]: copies, broadcasts, slices, the parts of a join, the inside of a border.
TG_KERNEL(shape_copy, THREADS, const T* x, T* y, const __grid_constant__ Way<2> way) {
    const index_t first = index_t(blockIdx.x) * (THREADS * EACH) + threadIdx.x;
    T entry[EACH];
    index_t to[EACH];
#pragma unroll
    for (int k = 0; k < EACH; k++)
        if (first + k * THREADS < way.n) {
            index_t at[2];
            places(way, first + k * THREADS, at);
            entry[k] = x[at[0]], to[k] = at[1];
        }
#pragma unroll
    for (int k = 0; k < EACH; k++)
        if (first + k * THREADS < way.n) y[to[k]] = entry[k];
}

// y[:] = value
TG_KERNEL(shape_fill, THREADS, T* y, T value, index_t n) {
    const index_t first = index_t(blockIdx.x) * (THREADS * EACH) + threadIdx.x;
#pragma unroll
    for (int k = 0; k < EACH; k++)
        if (first + k * THREADS < n) y[first + k * THREADS] = value;
}

// y (before, count, after) = x (before, length, after) at index (count,) in [-length, length), one entry a thread: what
// a warp reads are neighbours where `after` is long.
TG_KERNEL(shape_gather, THREADS, const T* x, const index_t* index, T* y, index_t n, index_t count, index_t length,
          index_t after) {
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n) return;
    const index_t row = i / after, j = i - row * after, before = row / count, at = index[row - before * count];
    y[i] = x[(before * length + (at < 0 ? at + length : at)) * after + j];
}
