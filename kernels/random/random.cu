// Draws of floating numbers.
//
// Traffic: one write an entry, and where there are operands a read of each; arithmetic: a Philox block of 140 integer
// operations for 4 float32 or 2 float64, and for normals a log, a square root, a sine and a cosine a pair: on a GPU
// bits and uniforms wait for memory, normals for both.  A thread makes all entries of its Philox block, with 256
// threads as in words.cu.
#include "philox.h"

#define THREADS 256
#if T_IS_SINGLE
#define PER 4  // entries of a Philox block
#else
#define PER 2
#endif

// Entry k of a block, on [0, 1): 24 bits of a word, or 53 of two.
__device__ __forceinline__ T fraction(const Words& made, int k) {
#if T_IS_SINGLE
    return T(made.w[k] >> 8) * T(1.0 / (1 << 24));
#else
    return float53(made.w[2 * k], made.w[2 * k + 1]) * (1.0 / (1ll << 53));
#endif
}

TG_KERNEL(random_uniform, THREADS, const unsigned* key, T* y, index_t n) {
    const index_t block = index_t(blockIdx.x) * THREADS + threadIdx.x;
    const Words made = drawn(key, block);
#pragma unroll
    for (int k = 0; k < PER; k++)
        if (PER * block + k < n) y[PER * block + k] = fraction(made, k);
}

// Row i of y (rows, size) with the key derived from i.  Deriving it costs each thread a second Philox block.
TG_KERNEL(random_uniforms, THREADS, const unsigned* key, T* y, index_t rows, index_t size) {
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x, blocks = (size + PER - 1) / PER;
    const index_t row = i / blocks, block = i - row * blocks;
    if (row >= rows) return;
    const Words derived = philox(unsigned(row), unsigned((unsigned long long)row >> 32), 0, DERIVE, key[0], key[1]);
    const Words made = drawn(derived.w, block);
#pragma unroll
    for (int k = 0; k < PER; k++)
        if (PER * block + k < size) y[row * size + PER * block + k] = fraction(made, k);
}

// Box and Muller: r cos(2 pi v) and r sin(2 pi v), r = sqrt(-2 log u).  Quarter turns are taken off exactly, so the
// sine and cosine are of at most pi / 4 and need no reduction of their own.
__device__ __forceinline__ void polar(T u, T v, T& first, T& second) {
    const T r = sqrt(T(-2) * log(u)), quarters = rint(4 * v);
    const T angle = T(6.283185307179586) * fma(quarters, T(-0.25), v), c = cos(angle), s = sin(angle);
    const int turn = int(quarters) & 3;
    const T x = turn & 1 ? s : c, y = turn & 1 ? c : s;
    first = r * (turn == 1 || turn == 2 ? -x : x);
    second = r * (turn & 2 ? -y : y);
}

TG_KERNEL(random_normal, THREADS, const unsigned* key, T* y, index_t n) {
    const index_t block = index_t(blockIdx.x) * THREADS + threadIdx.x;
    const Words made = drawn(key, block);
    T z[PER];
#if T_IS_SINGLE
#pragma unroll
    for (int k = 0; k < 4; k += 2) {
        const T u = T((unsigned long long)made.w[k] + 1) * T(1.0 / (1ll << 32));
        polar(u, fraction(made, k + 1), z[k], z[k + 1]);
    }
#else
    polar((float53(made.w[0], made.w[1]) + 1) * (1.0 / (1ll << 53)), fraction(made, 1), z[0], z[1]);
#endif
#pragma unroll
    for (int k = 0; k < PER; k++)
        if (PER * block + k < n) y[PER * block + k] = z[k];
}

TG_KERNEL(random_bernoulli, THREADS, const T* p, const unsigned* key, T* y, index_t n) {
    const index_t block = index_t(blockIdx.x) * THREADS + threadIdx.x;
    const Words made = drawn(key, block);
#pragma unroll
    for (int k = 0; k < PER; k++)
        if (PER * block + k < n) y[PER * block + k] = T(fraction(made, k) < p[PER * block + k]);
}

// y (rows,) of logits (rows, k): the first category up to which more than a part u of the probability lies, u the
// float64 uniform of the row.  A thread walks its row three times, summing in float64 in order, as specified.
TG_KERNEL(random_categorical, THREADS, const T* logits, const unsigned* key, index_t* y, index_t rows, index_t count) {
    const index_t row = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (row >= rows) return;
    const T* mine = logits + row * count;
    T highest = mine[0];
    for (index_t k = 1; k < count; k++) highest = mine[k] > highest ? mine[k] : highest;
    double total = 0;
    for (index_t k = 0; k < count; k++) total += exp(double(mine[k]) - double(highest));
    const Words made = drawn(key, row / 2);
    const unsigned high = row & 1 ? made.w[2] : made.w[0], low = row & 1 ? made.w[3] : made.w[1];
    const double target = float53(high, low) * (1.0 / (1ll << 53)) * total;
    double below = 0;
    index_t found = 0;
    for (index_t k = 0; k < count; k++) {
        below += exp(double(mine[k]) - double(highest));
        if (below > target) {
            found = k;
            break;
        }
    }
    y[row] = found;
}

// z = mu + exp(log_var / 2) eps: 4 accesses an entry, one exp
TG_KERNEL(random_gaussian_sample, THREADS, const T* mu, const T* log_var, const T* eps, T* z, index_t n) {
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) z[i] = mu[i] + exp(log_var[i] * T(0.5)) * eps[i];
}

TG_KERNEL(random_gaussian_sample_grad, THREADS, const T* g, const T* log_var, const T* eps, T* g_log_var, index_t n) {
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) g_log_var[i] = g[i] * eps[i] * exp(log_var[i] * T(0.5)) * T(0.5);
}
