// Reductions of x (outer, reduced, inner) to y (outer, inner), and the softmax family along the middle axis.
//
// Traffic: x is read once (for the softmax family from memory once, from the cache twice more) and y written; arithmetic:
// a step an entry, for the softmax family two exponentials; all wait for memory.  Blocks of at most 256 threads, as in
// rows.h, with 2 KB of shared memory; the softmax family 3 KB.  Long blocks are cut into parts, whose results are
// reduced again.
#include "rows.h"

// -- one number of many -------------------------------------------------------------------------------------------------
#define REDUCTION(name, F, A, In, Out, result)                                                                        \
    TG_KERNEL(reduce_##name, THREADS, const In* x, Out* y, const __grid_constant__ Shape s, double divisor) {         \
        __shared__ A shared[THREADS];                                                                                 \
        const Place p = place_in(s);                                                                                  \
        const A whole = across<F<A>>(along<F<A>, A>(p, entries(x, s, p)), shared);                                    \
        if (p.inside && threadIdx.y == 0) y[(p.o * s.parts + p.part) * s.inner + p.i] = Out(result);                  \
    }

REDUCTION(sum, Plus, double, T, T, whole / divisor)
REDUCTION(sum_parts, Plus, double, T, double, whole / divisor)
REDUCTION(sum_of_parts, Plus, double, double, T, whole / divisor)
REDUCTION(max, Larger, T, T, T, whole)
REDUCTION(min, Smaller, T, T, T, whole)

// The first largest entry, or the first NaN.
__device__ __forceinline__ bool beats(T a, index_t i, T b, index_t j) {
    const bool a_nan = a != a, b_nan = b != b;
    if (a_nan || b_nan) return a_nan && (!b_nan || i < j);
    return a > b || (a == b && i < j);
}

TG_KERNEL(reduce_argmax, THREADS, const T* x, index_t* y, const __grid_constant__ Shape s) {
    __shared__ T values[THREADS];
    __shared__ index_t places[THREADS];
    const Place p = place_in(s);
    const unsigned by = blockDim.y, t = (threadIdx.z * by + threadIdx.y) * blockDim.x + threadIdx.x;
    const Entry<T> entry = entries(x, s, p);
    T best = T(-tg_infinity());
    index_t at = s.reduced;  // behind all there are
    for (index_t r = p.from; r < p.end; r += by)
        if (beats(entry(r), r, best, at)) best = entry(r), at = r;
    values[t] = best, places[t] = at;
    __syncthreads();
    for (unsigned half = by / 2; half > 0; half /= 2) {
        const unsigned other = t + half * blockDim.x;
        if (threadIdx.y < half && beats(values[other], places[other], values[t], places[t]))
            values[t] = values[other], places[t] = places[other];
        __syncthreads();
    }
    if (p.inside && threadIdx.y == 0) y[p.o * s.inner + p.i] = places[t];
}

// -- the softmax family -------------------------------------------------------------------------------------------------
TG_KERNEL(reduce_logsumexp, THREADS, const T* x, T* y, const __grid_constant__ Shape s) {
    __shared__ T peaks[THREADS];
    __shared__ double masses[THREADS];
    const Place p = place_in(s);
    double mass;
    const Mass below = mass_of(x, s, p, peaks, masses, mass);
    if (p.inside && threadIdx.y == 0) y[p.o * s.inner + p.i] = T(below.shift + log(mass));
}

#define SOFTMAX(name, scaled, result)                                                                      \
    TG_KERNEL(reduce_##name, THREADS, const T* x, T* y, const __grid_constant__ Shape s) {                 \
        __shared__ T peaks[THREADS];                                                                       \
        __shared__ double masses[THREADS];                                                                 \
        const Place p = place_in(s);                                                                       \
        double mass;                                                                                       \
        const Mass below = mass_of(x, s, p, peaks, masses, mass);                                          \
        const T scale = T(scaled);                                                                         \
        T* to = y + p.o * s.reduced * s.inner + p.i;                                                       \
        for (index_t r = p.from; r < p.end; r += blockDim.y) to[r * s.inner] = result;                     \
    }

SOFTMAX(softmax, 1 / mass, below(r) * scale)
SOFTMAX(log_softmax, log(mass), below.row[r * below.step] - below.shift - scale)
