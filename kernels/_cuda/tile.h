// A tile of a matrix product: TILE x TILE sums of one block, ROWS x COLUMNS of them in the registers of each thread.
//
// The block brings DEPTH columns of the left matrix and DEPTH rows of the right one to shared memory, 8.5 KB in
// float32; then every thread adds their product to its sums.  Each entry that is brought serves 64 sums: 16 operations
// for a byte in float32, so that 50 TFLOP/s want 3 TB/s of the L2 cache.
// 128 threads: with 128 registers each or less, four blocks share a multiprocessor; some multiply while others wait.
// Every sum runs over the depth in one order: bits do not depend on where in a tile it lies.

#define TILE 64
#define DEPTH 16
#define THREADS 128
#if T_IS_SINGLE
#define AT_ONCE 4
#else
#define AT_ONCE 2
#endif

struct __align__(16) Quad {  // neighbours, read at once
    T of[4];
};
struct __align__(16) Slab {  // a quad more than a line of the tile takes, so that a column spreads over banks
    T at[DEPTH][TILE + 4];
};

// Which entries of a slab a thread brings: (line, k), (line + lines, k + depths) and so on.  Neighbouring threads take
// neighbouring lines, or depths, whichever are neighbours in memory.
struct Share {
    int line, k, lines, depths;
};
__device__ __forceinline__ Share share_of(bool by_lines) {
    const int i = int(threadIdx.x);
    if (by_lines) return {i % TILE, i / TILE, 0, THREADS / TILE};
    return {i / DEPTH, i % DEPTH, THREADS / DEPTH, 0};
}

// slab.at[k][line] = entry(line, k), for all lines and depths, each thread's share in its order.  All loads are under
// way before the first is stored.
template <class E> __device__ __forceinline__ void bring(Slab& slab, bool by_lines, E entry) {
    const int each = TILE * DEPTH / THREADS;
    const Share mine = share_of(by_lines);
    T found[each];
#pragma unroll
    for (int e = 0; e < each; e++) found[e] = entry(mine.line + e * mine.lines, mine.k + e * mine.depths);
#pragma unroll
    for (int e = 0; e < each; e++) slab.at[mine.k + e * mine.depths][mine.line + e * mine.lines] = found[e];
}

#if !T_IS_TF32
// By multiply-adds, rounded once a term, in order: three reads of 16 bytes for 32 of them.
#define ROWS 8
#define COLUMNS 4
#define ACROSS (TILE / COLUMNS)  // threads side by side

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

#else
// On tensor cores: each entry is rounded to TF32, then 16 x 8 sums take 8 terms at once, in float32.  A sum is off by
// at most 2^-10 (1 + 2^-12) of the sum of its terms' magnitudes, beside what adding them costs.
//
// A warp makes 32 x 32 sums by two times four such products, for which a thread reads 16 numbers of 4 bytes.  With what
// `bring` stores, 16 terms of the depth are 24 KB of shared memory, 192 of its cycles, for 131072 operations, which the
// tensor cores of an H100 could do in 64.  The L2 cache is the nearer limit: 16 operations a byte at some 5 TB/s are
// 80 TFLOP/s, a sixth of its 495.  Larger tiles would raise both, and leave a layer of a few hundred with few blocks.
// (By counting: not measured.)
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "TF32 needs a GPU of compute capability 8.0 or later"
#endif
#define ROWS 4
#define COLUMNS 8

// Where this thread's sums lie in the tile: in each product two rows, and two columns that are neighbours.
__device__ __forceinline__ int tile_row(int r) {
    return int(threadIdx.x) / 64 * 32 + r / 2 * 16 + r % 2 * 8 + int(threadIdx.x) % 32 / 4;
}
__device__ __forceinline__ int tile_column(int c) {
    return int(threadIdx.x) / 32 % 2 * 32 + c / 2 * 8 + int(threadIdx.x) % 4 * 2 + c % 2;
}

// sums[r][c] += the products of left lines and right lines, 8 of the depth at a time
__device__ __forceinline__ void multiply(const Slab& left, const Slab& right, T (&sums)[ROWS][COLUMNS]) {
    const int group = int(threadIdx.x) % 32 / 4, member = int(threadIdx.x) % 4;
    const int across = int(threadIdx.x) / 32 % 2 * 32 + group;
#pragma unroll
    for (int k = 0; k < DEPTH; k += 8) {
        // A term of the depth may stand anywhere, if it is the same place on either side.  A thread takes neighbours as
        // its two: so a warp reads from banks 8 member + group, each once.  They are rounded here, and not by `bring`,
        // for plus_line adds what is not.
        const int deep = k + 2 * member;
        T down[ROWS / 2][4], over[COLUMNS / 2][2];
#pragma unroll
        for (int i = 0; i < ROWS / 2; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) down[i][e] = tg_tf32(left.at[deep + e / 2][tile_row(2 * i + e % 2)]);
#pragma unroll
        for (int j = 0; j < COLUMNS / 2; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) over[j][e] = tg_tf32(right.at[deep + e][across + 8 * j]);
#pragma unroll
        for (int i = 0; i < ROWS / 2; i++)
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; j++) {
                T (&above)[COLUMNS] = sums[2 * i], (&below)[COLUMNS] = sums[2 * i + 1];
                T part[4] = {above[2 * j], above[2 * j + 1], below[2 * j], below[2 * j + 1]};
                tg_mma_tf32(part, down[i], over[j]);
                above[2 * j] = part[0], above[2 * j + 1] = part[1];
                below[2 * j] = part[2], below[2 * j + 1] = part[3];
            }
    }
}
#endif

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
