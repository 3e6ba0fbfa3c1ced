// Random words, derived keys, and permutations.
//
// bits: 4 bytes written a word, half a Philox block of 70 integer operations an entry: bound by writing.  A thread makes
// a block of four words, so none is computed twice.  256 threads: the registers of ten rounds fit eight such blocks on a
// multiprocessor.
#include "philox.h"

#define THREADS 256

TG_KERNEL(random_fold_in, 1, const unsigned* key, const unsigned* data, unsigned* y) {
    const Words made = philox(data[0], data[1], 0, DERIVE, key[0], key[1]);
    y[0] = made.w[0], y[1] = made.w[1];
}

TG_KERNEL(random_bits, THREADS, const unsigned* key, unsigned* y, index_t n) {
    const index_t block = index_t(blockIdx.x) * THREADS + threadIdx.x;
    const Words made = drawn(key, block);
#pragma unroll
    for (int k = 0; k < 4; k++)
        if (4 * block + k < n) y[4 * block + k] = made.w[k];
}

// y[how many words sort before word i] = i; equal words sort by index.  Each thread counts for one word, against tiles
// of 256 in shared memory: n^2 comparisons, 1 ms for 60,000 words, and no pass over memory but the first.
TG_KERNEL(random_permutation, THREADS, const unsigned* words, index_t* y, index_t n) {
    __shared__ unsigned tile[THREADS];
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    const unsigned mine = i < n ? words[i] : 0;
    index_t before = 0;
    for (index_t first = 0; first < n; first += THREADS) {
        if (first + threadIdx.x < n) tile[threadIdx.x] = words[first + threadIdx.x];
        __syncthreads();
        const int there = int(tg_min(index_t(THREADS), n - first));
        for (int j = 0; j < there; j++) before += tile[j] < mine || (tile[j] == mine && first + j < i);
        __syncthreads();
    }
    if (i < n) y[before] = i;
}
