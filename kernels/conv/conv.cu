// Convolutions as matrix products that gather their left side (implicit GEMM), in all three directions.
//
// A convolution is pixels by (taps x channels) times (taps x channels) by outputs; its weight gradient sums over the
// pixels, (taps x channels) by pixels times pixels by outputs.  Either way an entry of the left matrix belongs to a
// pixel of one image and a tap: their two places add up to a place in the other image, read where it is inside, zero
// where it is not.  Nothing is padded or unfolded.  Masked taps are none of the taps, which are a run in raster order.
//
// The adjoint walks the image that the convolution reads, pixel by pixel, and gathers: no atomics.  With a stride, the
// pixels of one phase (those that are equal modulo the stride) have the same live taps: they share blocks, which leave
// the other taps out.
//
// 2 N H' W' K K' C O operations.  Blocks of 128 threads make tiles of 64 x 64 (tile.h): an image is read O / 64 times
// for each tap, from caches mostly, and y is written once.  Every 16 terms of the depth cost 16 threads some divisions,
// while the others multiply; what is rounded to use tensor cores: see tile.h.  Where tiles are too few to fill a GPU,
// sums are cut into parts as in matmul.cu.
#include "tile.h"
#include "epilogue.h"

struct Window {  // cuda.py fills it; pairs are (rows, columns)
    index_t images, read[2], walked[2];  // the sizes of an image that is read, and of one whose pixels are walked
    index_t phases[2], grid[2];          // pixels step by `phases`; so many of each phase in an image
    index_t move[2], step[2], shift[2];
    index_t width, first, taps;                // taps in a row of the window; the first that is live, how many are
    index_t read_channels, read_begin, c;      // channels of a pixel that is read, the first that takes part, how many
    index_t walked_channels, walked_begin, o;  // and of one that is walked
    index_t w_begin, w_tap, w_c, w_o;          // where weights begin, and how far apart they are
};
// Pixel i of phase f is i * phases + f.  Through tap k it sees i * move + (f + shift + k * step) / phases, where that
// has no remainder.

struct __align__(16) Place {  // in an image that is read: entries, rows and columns; those of a pixel and a tap add up
    index_t at;
    int row, column;
};
struct Phase {
    index_t row, column;
};
const int NOWHERE = -(1 << 30);  // a row; images have fewer rows and columns than that

// Where pixel p of a phase looks, and its first entry `to` in the image that is walked; nowhere if there is none.
__device__ __forceinline__ Place pixel(const Window& v, index_t p, Phase phase, index_t& to) {
    const index_t line = p / v.grid[1], image = line / v.grid[0];
    const index_t i = line - image * v.grid[0], j = p - line * v.grid[1];
    const index_t row = i * v.phases[0] + phase.row, column = j * v.phases[1] + phase.column;
    const bool there = image < v.images && row < v.walked[0] && column < v.walked[1];
    const index_t i_read = i * v.move[0], j_read = j * v.move[1];
    const index_t at = ((image * v.read[0] + i_read) * v.read[1] + j_read) * v.read_channels + v.read_begin;
    to = there ? ((image * v.walked[0] + row) * v.walked[1] + column) * v.walked_channels + v.walked_begin : NOWHERE;
    return {at, there ? int(i_read) : NOWHERE, int(j_read)};
}

// Whether a tap of the window is live in a phase.
__device__ __forceinline__ bool live(const Window& v, int number, Phase phase) {
    const int i = number / int(v.width), j = number - i * int(v.width);
    return int(phase.row + v.shift[0] + i * v.step[0]) % int(v.phases[0]) == 0 &&
           int(phase.column + v.shift[1] + j * v.step[1]) % int(v.phases[1]) == 0;
}

// Where entry d of (taps, channels) looks from a pixel of a phase, and its first weight; nowhere if it is not live.
__device__ __forceinline__ Place tap(const Window& v, index_t d, Phase phase, index_t& weight) {
    const int n = int(d) / int(v.c), channel = int(d) - n * int(v.c), number = int(v.first) + n;
    const int i = number / int(v.width), j = number - i * int(v.width);
    const int row = int(phase.row + v.shift[0] + i * v.step[0]) / int(v.phases[0]);
    const int column = int(phase.column + v.shift[1] + j * v.step[1]) / int(v.phases[1]);
    const bool there = n < v.taps && live(v, number, phase);
    weight = there ? v.w_begin + number * v.w_tap + channel * v.w_c : NOWHERE;
    return {(row * v.read[1] + column) * v.read_channels + channel, there ? row : NOWHERE, column};
}

// The first of k, k + DEPTH, ... where one of DEPTH entries of (taps, channels) is live, or one that is not below stop.
__device__ __forceinline__ index_t next_live(const Window& v, index_t k, index_t stop, Phase phase) {
    if (v.phases[0] * v.phases[1] == 1) return k;  // all are: divisions of all threads are saved
    for (; k < stop; k += DEPTH)
        for (int n = int(k) / int(v.c); n < v.taps && n * v.c < k + DEPTH; n++)
            if (live(v, int(v.first) + n, phase)) return k;
    return k;
}

__device__ __forceinline__ T seen(const T* x, const Window& v, const Place& pixel, const Place& tap) {
    // what is negative is too large without its sign
    const unsigned row = unsigned(pixel.row + tap.row), column = unsigned(pixel.column + tap.column);
    return row < unsigned(v.read[0]) && column < unsigned(v.read[1]) ? x[pixel.at + tap.at] : T(0);
}

// y = (y where it `adds`) + the convolution of x, or its adjoint, then the steps of epilogue.h.  y may be sums (parts,
// *y.shape) of `each` terms, which matmul_combine adds up, with the steps.
TG_KERNEL(conv_gather, THREADS, const T* x, const T* w, T* y, index_t adds, index_t parts, index_t each,
          const __grid_constant__ Window v, const T* bias, const T* gate, const T* other, T* also,
          const __grid_constant__ Then then) {
    __shared__ Slab left, right;
    __shared__ Place pixels[TILE], taps[DEPTH];
    __shared__ index_t to[TILE], weights[DEPTH];
    const int thread = int(threadIdx.x);
    const index_t wide = (v.o + TILE - 1) / TILE, high = (v.images * v.grid[0] * v.grid[1] + TILE - 1) / TILE;
    index_t unit = blockIdx.x;
    const index_t column = unit % wide * TILE;
    unit /= wide;
    const index_t row = unit % high * TILE;
    unit /= high;
    const index_t part = unit % parts, start = part * each, stop = tg_min(v.taps * v.c, start + each);
    unit /= parts;
    const Phase phase = {unit / v.phases[1], unit % v.phases[1]};
    if (thread < TILE) pixels[thread] = pixel(v, row + thread, phase, to[thread]);
    index_t k = next_live(v, start, stop, phase);
    if (thread < DEPTH) taps[thread] = tap(v, k + thread, phase, weights[thread]);
    __syncthreads();
    const int mine = int(tg_min(index_t(TILE), v.o - column));
    T acc[ROWS][COLUMNS] = {};
    while (k < stop) {
        bring(left, false, [&](int i, int s) { return seen(x, v, pixels[i], taps[s]); });
        bring(right, v.w_o == 1, [&](int j, int s) {
            return weights[s] >= 0 && j < mine ? w[weights[s] + (column + j) * v.w_o] : T(0);
        });
        __syncthreads();
        k = next_live(v, k + DEPTH, stop, phase);
        if (thread < DEPTH) taps[thread] = tap(v, k + thread, phase, weights[thread]);
        multiply(left, right, acc);
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            const index_t at = to[tile_row(r)] + column + tile_column(c);
            if (to[tile_row(r)] < 0 || column + tile_column(c) >= v.o) continue;
            if (parts > 1)
                y[part * v.images * v.walked[0] * v.walked[1] * v.walked_channels + at] = acc[r][c];
            else
                finish(adds ? y[at] + acc[r][c] : acc[r][c], y, at, column + tile_column(c), bias, gate, other, also,
                       then);
        }
}

// sums (parts, taps x channels, o) over ranges of `each` pixels p: x seen from p through a tap, times g[p].
// totals (parts, o), if any: g[p].
TG_KERNEL(conv_weight_sums, THREADS, const T* x, const T* g, T* sums, T* totals, index_t each,
          const __grid_constant__ Window v) {
    __shared__ Slab left, right;
    __shared__ Place pixels[DEPTH], taps[TILE];
    __shared__ index_t from[DEPTH];
    const int thread = int(threadIdx.x);
    const index_t rows = v.taps * v.c, wide = (v.o + TILE - 1) / TILE, high = rows > 0 ? (rows + TILE - 1) / TILE : 1;
    index_t unit = blockIdx.x;
    const index_t column = unit % wide * TILE;
    unit /= wide;
    const index_t row = unit % high * TILE, part = unit / high;
    const index_t start = part * each, stop = tg_min(v.images * v.walked[0] * v.walked[1], start + each);
    index_t unused;
    if (thread < TILE) taps[thread] = tap(v, row + thread, {0, 0}, unused);
    if (thread < DEPTH) pixels[thread] = pixel(v, start + thread, {0, 0}, from[thread]);
    __syncthreads();
    const int mine = int(tg_min(index_t(TILE), v.o - column));
    T acc[ROWS][COLUMNS] = {}, total = 0;
    for (index_t k = start; k < stop; k += DEPTH) {
        const int deep = int(tg_min(index_t(DEPTH), stop - k));
        bring(left, true, [&](int i, int s) { return s < deep ? seen(x, v, pixels[s], taps[i]) : T(0); });
        bring(right, true, [&](int j, int s) { return s < deep && j < mine ? g[from[s] + column + j] : T(0); });
        __syncthreads();
        if (thread < DEPTH) pixels[thread] = pixel(v, k + DEPTH + thread, {0, 0}, from[thread]);
        multiply(left, right, acc);
        if (totals && row == 0) total = plus_line(right, total);
        __syncthreads();
    }
    if (totals && row == 0 && thread < TILE && column + thread < v.o) totals[part * v.o + column + thread] = total;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            const index_t i = row + tile_row(r), j = column + tile_column(c);
            if (i < rows && j < v.o) sums[(part * rows + i) * v.o + j] = acc[r][c];
        }
}

// g_w, or what it is plus, = the parts of sums in order: each entry to its weight.  An entry a thread.
TG_KERNEL(conv_add_parts, 256, const T* sums, T* g_w, index_t parts, index_t adds, const __grid_constant__ Window v) {
    const index_t i = index_t(blockIdx.x) * 256 + threadIdx.x, n = v.taps * v.c * v.o;
    if (i >= n) return;
    index_t weight;
    tap(v, i / v.o, {0, 0}, weight);
    T* to = g_w + weight + i % v.o * v.w_o;
    const T sum = combined(sums, i, n, parts);
    *to = adds ? *to + sum : sum;
}
