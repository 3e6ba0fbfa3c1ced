// What a mask that keeps every second entry leaves of a dense coupling's weights, and back.
//
// Four arrays in one launch, for they are small: w_in (D, H) and first (K, H), w_out (H, 2 D) and last (H, 2 M), b_out
// and bias, scale and gain; K entries are kept, M = D - K move.  Traffic: a read and a write of an entry of the parts,
// or with zeros between, a write of each entry of the whole.  A thread has one entry it writes, in blocks of 256,
// through the arrays one after the other; of w_out's rows every second entry is used, half of what is fetched.
#define THREADS 256

// Where in a row of w_out, or in b_out, entry j of 2 M lies.
__device__ __forceinline__ index_t living(index_t j, index_t d, index_t m, index_t moved) {
    return j < m ? moved + 2 * j : d + moved + 2 * (j - m);
}

TG_KERNEL(coupling_live_weights, THREADS, const T* w_in, const T* w_out, const T* b_out, const T* scale, T* first,
          T* last, T* bias, T* gain, index_t d, index_t h, index_t k, index_t kept) {
    const index_t m = d - k, moved = 1 - kept;
    index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < k * h) {
        const index_t row = i / h;
        first[i] = w_in[i + (row + kept) * h];
        return;
    }
    i -= k * h;
    if (i < h * 2 * m) {
        const index_t row = i / (2 * m);
        last[i] = w_out[row * 2 * d + living(i - row * 2 * m, d, m, moved)];
        return;
    }
    i -= h * 2 * m;
    if (i < 2 * m)
        bias[i] = b_out[living(i, d, m, moved)];
    else if (i < 3 * m)
        gain[i - 2 * m] = scale[moved + 2 * (i - 2 * m)];
}

// Entry j of a row of 2 D that comes from one of 2 M, or 0.
__device__ __forceinline__ T spread(const T* part, index_t j, index_t d, index_t m, index_t moved) {
    const index_t side = j < d ? 0 : 1, at = j - side * d;
    return at % 2 == moved ? part[side * m + at / 2] : T(0);
}

TG_KERNEL(coupling_live_weights_grad, THREADS, const T* first, const T* last, const T* bias, const T* gain, T* w_in,
          T* w_out, T* b_out, T* scale, index_t d, index_t h, index_t k, index_t kept) {
    const index_t m = d - k, moved = 1 - kept;
    index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < d * h) {
        const index_t row = i / h;
        w_in[i] = row % 2 == kept ? first[row / 2 * h + i - row * h] : T(0);
        return;
    }
    i -= d * h;
    if (i < h * 2 * d) {
        const index_t row = i / (2 * d);
        w_out[i] = spread(last + row * 2 * m, i - row * 2 * d, d, m, moved);
        return;
    }
    i -= h * 2 * d;
    if (i < 2 * d)
        b_out[i] = spread(bias, i, d, m, moved);
    else if (i < 3 * d)
        scale[i - 2 * d] = (i - 2 * d) % 2 == moved ? gain[(i - 2 * d) / 2] : T(0);
}
