// Products of matrices, and what may follow one in the same pass: bias, activation, gate, addition, a second output.
//
// 2 M N K operations for M K + K N + M N entries, each read or written once where the caches hold a panel: bound by
// arithmetic for all but the thinnest.  A block of 256 threads makes a tile of 64 x 64, a thread 4 x 4 of it, 16 apart:
// for 16 products it reads 8 numbers of shared memory, in which neighbours lie in neighbouring banks.  Panels 16 deep
// pass through 8 KB of shared memory (16 in float64), a column wider than the tile so that writing them across meets
// other banks too.  A sum runs over k in order, in T, one fused multiply-add a term, whatever the grid.
#include "formulas.h"
#include "walk.h"

#define THREADS 256
#define TILE 64
#define DEPTH 16
#define SIDE 16           // threads along a side of the tile
#define EACH (TILE / SIDE)

struct Sizes {  // cuda.py fills both
    index_t m, n, k;
    index_t a_row, a_k, b_k, b_column;  // entries between neighbours
};
struct Then {
    int activation, gate, also, unused;  // codes of `activated`
    double slope, gate_slope, also_slope;
};

enum { NONE, RELU, LEAKY_RELU, TANH, SIGMOID, SOFTPLUS, ELU };

__device__ __forceinline__ T activated(int code, T slope, T z) {
    switch (code) {
        case RELU: return z < 0 ? T(0) : z;
        case LEAKY_RELU: return z > 0 ? z : slope * z;
        case TANH: return tanh(z);
        case SIGMOID: return sigmoid_of(z);
        case SOFTPLUS: return softplus_of(z);
        case ELU: return z > 0 ? z : slope * expm1(z);
        default: return z;
    }
}

// A panel of DEPTH x TILE entries, zeros beyond the end.  The threads are laid along the axis whose entries neighbour.
__device__ __forceinline__ void load(T (*panel)[TILE + 1], const T* x, index_t first, index_t end, index_t step,
                                     index_t k, index_t k_end, index_t k_step) {
#pragma unroll
    for (int j = 0; j < EACH; j++) {
        const int t = threadIdx.x, deep = k_step == 1 ? t % DEPTH : t / TILE + THREADS / TILE * j;
        const int i = k_step == 1 ? t / DEPTH + THREADS / DEPTH * j : t % TILE;
        const bool inside = first + i < end && k + deep < k_end;
        panel[deep][i] = inside ? x[(first + i) * step + (k + deep) * k_step] : T(0);
    }
}

TG_KERNEL(matmul_product, THREADS, const T* a, const T* b, T* y, const __grid_constant__ Sizes s,
          const __grid_constant__ Way<2> batch, const __grid_constant__ Then then, const T* bias, const T* gate,
          const T* added, T* second) {
    __shared__ T left[DEPTH][TILE + 1], right[DEPTH][TILE + 1];
    const index_t columns = (s.n + TILE - 1) / TILE, rows = (s.m + TILE - 1) / TILE;
    const index_t unit = blockIdx.x / columns, z = unit / rows;
    const index_t row = (unit - z * rows) * TILE, column = (blockIdx.x - unit * columns) * TILE;
    index_t at[2];
    places(batch, z, at);

    T sum[EACH][EACH] = {};
    const int ty = threadIdx.x / SIDE, tx = threadIdx.x % SIDE;
    for (index_t k = 0; k < s.k; k += DEPTH) {
        load(left, a + at[0], row, s.m, s.a_row, k, s.k, s.a_k);
        load(right, b + at[1], column, s.n, s.b_column, k, s.k, s.b_k);
        __syncthreads();
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            T u[EACH], v[EACH];
#pragma unroll
            for (int i = 0; i < EACH; i++) u[i] = left[d][ty + SIDE * i], v[i] = right[d][tx + SIDE * i];
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int j = 0; j < EACH; j++) sum[i][j] = fma(u[i], v[j], sum[i][j]);
        }
        __syncthreads();
    }

#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const index_t r = row + ty + SIDE * i, c = column + tx + SIDE * j;
            if (r >= s.m || c >= s.n) continue;
            const index_t to = ((batch.first + z) * s.m + r) * s.n + c;
            T value = sum[i][j];
            if (bias) value += bias[c];
            value = activated(then.activation, T(then.slope), value);
            if (gate) value = gate[to] > 0 ? value : then.gate == RELU ? T(0) : T(then.gate_slope) * value;
            if (added) value += added[to];
            y[to] = value;
            if (second) second[to] = activated(then.also, T(then.also_slope), value);
        }
}
