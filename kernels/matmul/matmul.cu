// Matrix products: y[z] = a[z] b[z], (m, k) by (k, n), for all z of a batch, then the steps of epilogue.h.
//
// 2 m n k operations.  A block makes a tile of 64 x 64: a is read n / 64 times, b m / 64 times, from the L2 cache but
// for the first time, and y is written once.  Blocks that lie side by side in y follow one another, so that they share
// rows of a.  128 threads a block, and what is rounded to use tensor cores: see tile.h.
//
// Where the tiles are too few to fill a GPU, the sum over k is cut into parts, each made by blocks of its own; a second
// kernel adds them in order, for an access or two more for each part and entry of y.
#include "walk.h"
#include "tile.h"
#include "epilogue.h"

struct Product {  // cuda.py fills it; steps and sizes count entries
    index_t m, n, k, a_row, a_k, b_k, b_column;
    index_t size;         // of y, with the whole batch
    index_t parts, each;  // parts of a sum over k, and the terms of each
};

// sums: y, or where there are several parts (parts, *y.shape).  totals, if any: (parts, n), the sums of b's columns.
TG_KERNEL_OF(AT_ONCE, matmul_tile, THREADS, const T* a, const T* b, T* sums, T* totals,
             const __grid_constant__ Product p, const __grid_constant__ Way<2> way, const T* bias, const T* gate,
             const T* other, T* also, const __grid_constant__ Then then) {
    __shared__ Slab left, right;
    const index_t wide = (p.n + TILE - 1) / TILE, high = p.m > 0 ? (p.m + TILE - 1) / TILE : 1;
    index_t unit = blockIdx.x;
    const index_t column = unit % wide * TILE;
    unit /= wide;
    const index_t row = unit % high * TILE;
    unit /= high;
    const index_t part = unit % p.parts, z = unit / p.parts;
    index_t at[2];
    places(way, z, at);
    const int high_mine = int(tg_min(index_t(TILE), p.m - row)), wide_mine = int(tg_min(index_t(TILE), p.n - column));
    T acc[ROWS][COLUMNS] = {}, total = 0;
    const index_t start = part * p.each, stop = tg_min(p.k, start + p.each);
    // the first entry of this thread's share, and from one to the next: without products in the loop
    const Share of_a = share_of(p.a_row == 1), of_b = share_of(p.b_column == 1);
    const T* next_a = a + at[0] + (row + of_a.line) * p.a_row + (start + of_a.k) * p.a_k;
    const T* next_b = b + at[1] + (column + of_b.line) * p.b_column + (start + of_b.k) * p.b_k;
    const index_t by_a = of_a.lines * p.a_row + of_a.depths * p.a_k, turn_a = DEPTH * p.a_k;
    const index_t by_b = of_b.lines * p.b_column + of_b.depths * p.b_k, turn_b = DEPTH * p.b_k;
    for (index_t k = start; k < stop; k += DEPTH, next_a += turn_a, next_b += turn_b) {
        const int deep = int(tg_min(index_t(DEPTH), stop - k));
        const T *from_a = next_a, *from_b = next_b;
        bring(left, p.a_row == 1, [&](int i, int s) {
            const T* entry = from_a;
            from_a += by_a;
            return i < high_mine && s < deep ? *entry : T(0);
        });
        bring(right, p.b_column == 1, [&](int j, int s) {
            const T* entry = from_b;
            from_b += by_b;
            return j < wide_mine && s < deep ? *entry : T(0);
        });
        __syncthreads();
        multiply(left, right, acc);
        if (totals && row == 0) total = plus_line(right, total);
        __syncthreads();
    }
    if (totals && row == 0 && threadIdx.x < TILE && column + threadIdx.x < p.n)
        totals[part * p.n + column + threadIdx.x] = total;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            const index_t i = row + tile_row(r), j = column + tile_column(c);
            if (i >= p.m || j >= p.n) continue;
            const index_t to = ((way.first + z) * p.m + i) * p.n + j;
            if (p.parts > 1)
                sums[part * p.size + to] = acc[r][c];
            else
                finish(acc[r][c], sums, to, j, bias, gate, other, also, then);
        }
}

// y = the parts (parts, n) in order, then the steps; rows of y have `columns` entries.  An entry a thread.
TG_KERNEL(matmul_combine, 256, const T* sums, T* y, index_t n, index_t columns, index_t parts, const T* bias,
          const T* gate, const T* other, T* also, const __grid_constant__ Then then) {
    const index_t i = index_t(blockIdx.x) * 256 + threadIdx.x;
    if (i < n) finish(combined(sums, i, n, parts), y, i, i % columns, bias, gate, other, also, then);
}
