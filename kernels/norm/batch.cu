// Batch normalisation of x (1, rows, columns), with a slope for what is not positive, and its gradient.
//
// Traffic in float32: forward x twice and y once, 12 bytes an entry (the second reading of a part is from the cache);
// backward g and x twice and g_x once, 20.  Arithmetic: 3 operations in float64 an entry for statistics, 4 backward,
// 4 to 8 in T for the rest.  All wait for memory.  Rows are cut into parts, and blocks are those of rows.h: up to 32
// columns and 8 rows at a time.  Each part has its own mean and squared deviations, and a second kernel merges the
// parts of a column (Chan, Golub, LeVeque 1983).  With `__restrict__` a thread's loads need not wait for its stores.
#include "rows.h"

struct Moments {  // of some rows: how many, their mean, the sum of squared deviations from it
    double count, mean, square;
};
struct Merge {
    static __device__ __forceinline__ Moments init() { return {0, 0, 0}; }
    static __device__ __forceinline__ Moments step(Moments a, Moments b) {
        if (b.count == 0) return a;
        const double count = a.count + b.count, delta = b.mean - a.mean, share = b.count / count;
        return {count, a.mean + delta * share, a.square + b.square + delta * delta * a.count * share};
    }
};

// means, squares (parts, columns): the mean of each part, and the sum of squared deviations from it
TG_KERNEL(norm_part_moments, THREADS, const T* x, double* means, double* squares, const __grid_constant__ Shape s) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    const Entry<T> entry = entries(x, s, p);
    const double count = double(p.end - p.part * s.per_part);
    const double mean = across<Plus<double>>(along<Plus<double>, double>(p, entry), shared) / count;
    const auto deviation = [=](index_t r) {
        const double d = entry(r) - mean;
        return d * d;
    };
    const double square = across<Plus<double>>(along<Plus<double>, double>(p, deviation), shared);
    if (!p.inside || threadIdx.y) return;
    means[p.part * s.inner + p.i] = mean;
    squares[p.part * s.inner + p.i] = square;
}

// mean and biased variance of each column from its parts of `per_part` of all rows, the last part shorter
TG_KERNEL(norm_merge, THREADS, const double* means, const double* squares, T* mean, T* var,
          const __grid_constant__ Shape s, index_t rows, index_t per_part) {
    __shared__ Moments shared[THREADS];
    const Place p = place_in(s);
    const auto part = [=](index_t r) -> Moments {
        const index_t at = r * s.inner + p.i;
        return {double(tg_min(per_part, rows - r * per_part)), means[at], squares[at]};
    };
    const Moments all = across<Merge>(along<Merge, Moments>(p, part), shared);
    if (!p.inside || threadIdx.y) return;
    mean[p.i] = T(all.mean);
    var[p.i] = T(all.square / all.count);
}

struct Affine {  // z = (x - mean) scale + shift of a column, the scale rounded once: forward and backward see one sign
    T mean, scale, shift;
    __device__ __forceinline__ T operator()(T x) const { return (x - mean) * scale + shift; }
};

__device__ __forceinline__ Affine affine_of(const T* gamma, const T* beta, const T* mean, const T* var, const Place& p,
                                            double eps) {
    if (!p.inside) return {0, 0, 0};
    return {mean[p.i], T(gamma[p.i] / sqrt(var[p.i] + eps)), beta[p.i]};
}

// y = z, times slope where z is not positive
TG_KERNEL(norm_batch, THREADS, const T* __restrict__ x, const T* gamma, const T* beta, const T* mean, const T* var,
          T* __restrict__ y, const __grid_constant__ Shape s, double eps, double slope) {
    const Place p = place_in(s);
    const Affine affine = affine_of(gamma, beta, mean, var, p, eps);
    const T low = T(slope);
#pragma unroll 4
    for (index_t r = p.from; r < p.end; r += blockDim.y) {
        const T z = affine(x[r * s.inner + p.i]);
        y[r * s.inner + p.i] = z > 0 ? z : low * z;
    }
}

// -- backward --------------------------------------------------------------------------------------------------------

// Of each part: the sums of g and of g (x - mean), with g = g_y, times slope where z is not positive.
TG_KERNEL(norm_cotangent_sums, THREADS, const T* g_y, const T* x, const T* gamma, const T* beta, const T* mean,
          const T* var, double* plain, double* centred, const __grid_constant__ Shape s, double eps, double slope) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    const Affine affine = affine_of(gamma, beta, mean, var, p, eps);
    const T low = T(slope);
    double sum = 0, along_x = 0;
#pragma unroll 4
    for (index_t r = p.from; r < p.end; r += blockDim.y) {
        const T here = x[r * s.inner + p.i], by_y = g_y[r * s.inner + p.i];
        const double g = affine(here) > 0 ? by_y : low * by_y;
        sum += g;
        along_x += g * (here - affine.mean);
    }
    sum = across<Plus<double>>(sum, shared);
    along_x = across<Plus<double>>(along_x, shared);
    if (!p.inside || threadIdx.y) return;
    plain[p.part * s.inner + p.i] = sum;
    centred[p.part * s.inner + p.i] = along_x;
}

// g_gamma, g_beta, and factors (3, columns) with which g_x = factor 0 g + factor 1 + factor 2 (x - mean)
TG_KERNEL(norm_factors, THREADS, const double* plain, const double* centred, const T* g_mean, const T* g_var,
          const T* gamma, const T* var, T* g_gamma, T* g_beta, T* factors, const __grid_constant__ Shape s,
          index_t rows, double eps) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    const double sum = across<Plus<double>>(along<Plus<double>, double>(p, entries(plain, s, p)), shared);
    const double along_x = across<Plus<double>>(along<Plus<double>, double>(p, entries(centred, s, p)), shared);
    if (!p.inside || threadIdx.y) return;
    const double inverse = 1 / sqrt(var[p.i] + eps), scale = gamma[p.i] * inverse, count = double(rows);
    g_beta[p.i] = T(sum);
    g_gamma[p.i] = T(along_x * inverse);
    factors[p.i] = T(scale);
    factors[s.inner + p.i] = T((g_mean[p.i] - scale * sum) / count);
    factors[2 * s.inner + p.i] = T((2.0 * g_var[p.i] - scale * inverse * inverse * along_x) / count);
}

TG_KERNEL(norm_batch_grad, THREADS, const T* __restrict__ g_y, const T* __restrict__ x, const T* gamma, const T* beta,
          const T* mean, const T* var, const T* factors, T* __restrict__ g_x, const __grid_constant__ Shape s,
          double eps, double slope) {
    const Place p = place_in(s);
    if (!p.inside) return;
    const Affine affine = affine_of(gamma, beta, mean, var, p, eps);
    const T by_g = factors[p.i], constant = factors[s.inner + p.i], by_x = factors[2 * s.inner + p.i], low = T(slope);
#pragma unroll 4
    for (index_t r = p.from; r < p.end; r += blockDim.y) {
        const T here = x[r * s.inner + p.i], by_y = g_y[r * s.inner + p.i];
        const T g = affine(here) > 0 ? by_y : low * by_y;
        g_x[r * s.inner + p.i] = by_g * g + constant + by_x * (here - affine.mean);
    }
}

// running = keep running + take new
TG_KERNEL(norm_running, THREADS, const T* running_mean, const T* running_var, const T* mean, const T* var, T* new_mean,
          T* new_var, index_t columns, double keep, double take, double take_unbiased) {
    const index_t c = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (c >= columns) return;
    new_mean[c] = T(keep) * running_mean[c] + T(take) * mean[c];
    new_var[c] = T(keep) * running_var[c] + T(take_unbiased) * var[c];
}
