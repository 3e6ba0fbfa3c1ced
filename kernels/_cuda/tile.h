// A tile of a matrix product: TILE x TILE sums of one block, ROWS x COLUMNS of them in the registers of each thread.
//
// The block brings DEPTH columns of the left matrix and DEPTH rows of the right one to shared memory, 8.5 KB in
// float32; then every thread adds their product to its sums: three reads of 16 bytes for 32 multiply-adds.  Each entry
// that is brought serves 64 sums: 16 operations for a byte in float32, so that 50 TFLOP/s want 3 TB/s of the L2 cache.
// 128 threads: with some 120 registers each, four blocks share a multiprocessor, and some multiply while others wait.
// Every sum runs over the depth in order, rounded once a term: bits do not depend on where in a tile it lies.

#define TILE 64
#define DEPTH 16
#define THREADS 128
#define ROWS 8
#define COLUMNS 4
#define ACROSS (TILE / COLUMNS)  // threads side by side

struct __align__(16) Quad {  // neighbours, read at once
    T of[4];
};
struct __align__(16) Slab {  // a quad more than a line of the tile takes, so that a column spreads over banks
    T at[DEPTH][TILE + 4];
};

// slab.at[k][line] = entry(line, k), for all lines and depths; neighbouring threads take neighbouring lines, or depths,
// whichever are neighbours in memory.  All loads are under way before the first is stored.
template <class E> __device__ __forceinline__ void bring(Slab& slab, bool by_lines, E entry) {
    const int i = int(threadIdx.x), each = TILE * DEPTH / THREADS;
    const int line = by_lines ? i % TILE : i / DEPTH, k = by_lines ? i / TILE : i % DEPTH;
    const int lines = by_lines ? 0 : THREADS / DEPTH, depths = by_lines ? THREADS / TILE : 0;
    T found[each];
#pragma unroll
    for (int e = 0; e < each; e++) found[e] = entry(line + e * lines, k + e * depths);
#pragma unroll
    for (int e = 0; e < each; e++) slab.at[k + e * depths][line + e * lines] = found[e];
}

// Where this thread's sums lie in the tile.
__device__ __forceinline__ int tile_row(int r) { return int(threadIdx.x) / ACROSS * ROWS + r; }
__device__ __forceinline__ int tile_column(int c) { return int(threadIdx.x) % ACROSS * COLUMNS + c; }

// sums[r][c] += the products of left lines and right lines, over the depth in order
__device__ __forceinline__ void multiply(const Slab& left, const Slab& right, T (&sums)[ROWS][COLUMNS]) {
#pragma unroll
    for (int k = 0; k < DEPTH; k++) {
        const Quad* rows = reinterpret_cast<const Quad*>(left.at[k] + tile_row(0));
        const Quad down[ROWS / 4] = {rows[0], rows[1]};
        const Quad across = *reinterpret_cast<const Quad*>(right.at[k] + tile_column(0));
#pragma unroll
        for (int r = 0; r < ROWS; r++)
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) sums[r][c] = fma(down[r / 4].of[r % 4], across.of[c], sums[r][c]);
    }
}

// total + the entries of this thread's line, for the first TILE threads: a sum of columns beside the product
__device__ __forceinline__ T plus_line(const Slab& slab, T total) {
    if (threadIdx.x < TILE)
        for (int k = 0; k < DEPTH; k++) total += slab.at[k][threadIdx.x];
    return total;
}

// Entry i of sums whose parts (parts, n) were made apart: added in order.
__device__ __forceinline__ T combined(const T* sums, index_t i, index_t n, index_t parts) {
    T z = sums[i];
    for (index_t part = 1; part < parts; part++) z += sums[part * n + i];
    return z;
}
