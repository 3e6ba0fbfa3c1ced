// Optimizer updates in place over flat blocks of parameters, and what is done to gradients before.
//
// Traffic in float32, with the gradient: SGD 12 bytes a parameter, with momentum 20; Adam, Adamax and Adadelta 28;
// RMSprop 20 to 36; the sum of squares 4; arithmetic 3 to 20 operations: all wait for memory.  Updates have blocks of
// 256 threads, 4 entries a thread, 256 apart: accesses of a warp are neighbours, and the search for a gradient is
// paid once in 1024 entries.  Numbers that arrays hold, in float64, are worked out in float64 and rounded once; powers
// by one thread of a block.
#include "rows.h"

#define EACH 4

// Many arrays as if they were one: table (2, count) says where each lies, then how many entries end with it.  A thread
// looks for the array of its first entry by halves; as its entries ascend, it passes each border once.
struct Joined {
    const index_t *places, *ends;
    index_t at, first;  // the array of the latest entry, and the number of its first one

    template <class V> __device__ __forceinline__ V entry(index_t i) {
        while (i >= ends[at]) first = ends[at++];
        return reinterpret_cast<const V*>(places[at])[i - first];
    }
};

__device__ __forceinline__ Joined joined_from(const index_t* table, index_t count, index_t start) {
    const index_t* const ends = table + count;
    index_t low = 0, high = count - 1;  // entry number `start` is in one of these arrays
    while (low < high) {
        const index_t middle = (low + high) / 2;
        if (start < ends[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return {table, ends, low, low ? ends[low - 1] : 0};
}

// -- before an update ------------------------------------------------------------------------------------------------

TG_KERNEL(optim_advance, 1, const index_t* step, index_t* next_step) { next_step[0] = step[0] + 1; }

TG_KERNEL(optim_gather, THREADS, T* flat, const index_t* table, index_t count, index_t n) {
    const index_t first = index_t(blockIdx.x) * (THREADS * EACH), end = tg_min(n, first + THREADS * EACH);
    Joined parts = joined_from(table, count, first);
    for (index_t i = first + threadIdx.x; i < end; i += THREADS) flat[i] = parts.entry<T>(i);
}

// Of each part of all gradients as one row: the sum of g**2.
TG_KERNEL(optim_sum_squares, THREADS, double* partial, const index_t* table, index_t count,
          const __grid_constant__ Shape s) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    Joined gradients = joined_from(table, count, p.from);
    const auto square = [gradients](index_t i) mutable {
        const double g = gradients.entry<T>(i);
        return g * g;
    };
    const double sum = across<Plus<double>>(along<Plus<double>, double>(p, square), shared);
    if (threadIdx.y == 0) partial[p.part] = sum;
}

// norm = the root of the sum of `count` numbers, each where the table says; scale = min(1, max_norm / (norm + 1e-6)),
// NaN where the norm is not finite
TG_KERNEL(optim_clip_scale, 1, const index_t* table, index_t count, double* scale, double* norm, double max_norm) {
    Joined squares = joined_from(table, count, 0);
    double sum = 0;
    for (index_t i = 0; i < count; i++) sum += squares.entry<double>(i);
    const double root = sqrt(sum);
    norm[0] = root;
    scale[0] = tg_finite(root) ? tg_min(1.0, max_norm / (root + 1e-6)) : root - root;
}

TG_KERNEL(optim_scaled, THREADS, const T* x, const double* scale, T* y, index_t n) {
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) y[i] = x[i] * T(scale[0]);
}

// -- updates ---------------------------------------------------------------------------------------------------------

// What every update is given: the table of the gradients, the number of parameters, and what makes g of the gradients.
#define GIVEN const index_t *table, index_t count, index_t n, const double *scale, double weight_decay

struct Entries {  // of one thread: i, i + THREADS, ... before end
    Joined gradients;
    index_t i, end;
    T scale, decay;
    __device__ __forceinline__ bool more() const { return i < end; }
    __device__ __forceinline__ void next() { i += THREADS; }
    __device__ __forceinline__ T g(const T* p) { return gradients.entry<T>(i) * scale + decay * p[i]; }
};

__device__ __forceinline__ Entries entries(GIVEN) {
    const index_t first = index_t(blockIdx.x) * (THREADS * EACH);
    const index_t end = tg_min(n, first + THREADS * EACH);
    return {joined_from(table, count, first), first + threadIdx.x, end, T(scale[0]), T(weight_decay)};
}

TG_KERNEL(optim_sgd, THREADS, T* p, const double* lr, GIVEN) {
    const T rate = T(lr[0]);
    for (Entries e = entries(table, count, n, scale, weight_decay); e.more(); e.next()) p[e.i] -= rate * e.g(p);
}

// buffer = momentum buffer + g; p -= rate (from_buffer buffer + from_g g)
TG_KERNEL(optim_momentum, THREADS, T* p, T* buffer, const double* lr, double momentum, double from_buffer,
          double from_g, GIVEN) {
    const T rate = T(lr[0]), keep = T(momentum), by_buffer = T(from_buffer), by_g = T(from_g);
    for (Entries e = entries(table, count, n, scale, weight_decay); e.more(); e.next()) {
        const T g = e.g(p), moved = keep * buffer[e.i] + g;
        buffer[e.i] = moved;
        p[e.i] -= rate * (by_buffer * moved + by_g * g);
    }
}

// AdamW's decay shrinks p: by lr * decoupled
TG_KERNEL(optim_adam, THREADS, T* p, T* m, T* v, const double* lr, const index_t* step, double beta1, double beta2,
          double eps, double decoupled, GIVEN) {
    __shared__ double rates[2];
    if (threadIdx.x == 0) {
        rates[0] = lr[0] / (1 - pow(beta1, double(step[0])));
        rates[1] = 1 / sqrt(1 - pow(beta2, double(step[0])));
    }
    __syncthreads();
    const T rate = T(rates[0]), inverse_root = T(rates[1]), keep = T(1 - lr[0] * decoupled), small = T(eps);
    const T b1 = T(beta1), b2 = T(beta2), c1 = T(1 - beta1), c2 = T(1 - beta2);
    for (Entries e = entries(table, count, n, scale, weight_decay); e.more(); e.next()) {
        const T g = e.g(p), first = b1 * m[e.i] + c1 * g, second = b2 * v[e.i] + c2 * g * g;
        m[e.i] = first;
        v[e.i] = second;
        p[e.i] = p[e.i] * keep - rate * first / (sqrt(second) * inverse_root + small);
    }
}

TG_KERNEL(optim_adamax, THREADS, T* p, T* m, T* u, const double* lr, const index_t* step, double beta1, double beta2,
          double eps, GIVEN) {
    __shared__ double rates[1];
    if (threadIdx.x == 0) rates[0] = lr[0] / (1 - pow(beta1, double(step[0])));
    __syncthreads();
    const T rate = T(rates[0]), b1 = T(beta1), b2 = T(beta2), c1 = T(1 - beta1), small = T(eps);
    for (Entries e = entries(table, count, n, scale, weight_decay); e.more(); e.next()) {
        const T g = e.g(p), first = b1 * m[e.i] + c1 * g, old = b2 * u[e.i], fresh = fabs(g) + small;
        const T top = old > fresh ? old : fresh;  // a NaN in the gradient stays
        m[e.i] = first;
        u[e.i] = top;
        p[e.i] -= rate * first / top;
    }
}

TG_KERNEL(optim_rmsprop, THREADS, T* p, T* square, T* average, T* buffer, const double* lr, double alpha, double eps,
          double momentum, double centered, GIVEN) {
    const T rate = T(lr[0]), keep = T(alpha), take = T(1 - alpha), carry = T(momentum), small = T(eps);
    for (Entries e = entries(table, count, n, scale, weight_decay); e.more(); e.next()) {
        const T g = e.g(p);
        T spread = keep * square[e.i] + take * g * g;
        square[e.i] = spread;
        if (centered) {
            const T mean = keep * average[e.i] + take * g;
            average[e.i] = mean;
            spread -= mean * mean;
        }
        T move = g / (sqrt(spread) + small);
        if (carry > 0) {
            move += carry * buffer[e.i];
            buffer[e.i] = move;
        }
        p[e.i] -= rate * move;
    }
}

TG_KERNEL(optim_adadelta, THREADS, T* p, T* square, T* delta, const double* lr, double rho, double eps, GIVEN) {
    const T rate = T(lr[0]), keep = T(rho), take = T(1 - rho), small = T(eps);
    for (Entries e = entries(table, count, n, scale, weight_decay); e.more(); e.next()) {
        const T g = e.g(p), spread = keep * square[e.i] + take * g * g;
        const T move = sqrt(delta[e.i] + small) / sqrt(spread + small) * g;
        square[e.i] = spread;
        delta[e.i] = keep * delta[e.i] + take * move * move;
        p[e.i] -= rate * move;
    }
}

// average += (1 - decay) (p - average): 12 bytes a parameter
TG_KERNEL(optim_ema, THREADS, T* average, const T* p, index_t n, double decay) {
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) average[i] += T(1 - decay) * (p[i] - average[i]);
}
