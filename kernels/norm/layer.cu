// Layer normalisation of x (rows, columns, 1), and its gradient.
//
// Traffic in float32: forward x and y, 8 bytes an entry; backward g and x twice and g_x once, 20 (a row is read again
// from the first-level cache).  Arithmetic: 4 operations in float64 and 3 in T an entry forward, 8 and 12 backward.
// All wait for memory.  Up to 256 threads have a row, as in rows.h.  The gradients of gamma and beta are sums down
// columns of what the rows' statistics make of g and x: in parts of (1, rows, columns) that a last kernel adds.
#include "rows.h"

struct Standard {  // x_hat = (x - mean) inverse, rounded as written
    double mean;
    T inverse;
    __device__ __forceinline__ T operator()(T x) const { return T(x - mean) * inverse; }
};

// Of the row at a place: its mean, and 1 / sqrt(var + eps).
__device__ __forceinline__ Standard standard_of(const T* x, const Shape& s, const Place& p, double eps,
                                                double* shared) {
    const Entry<T> entry = entries(x, s, p);
    const double mean = across<Plus<double>>(along<Plus<double>, double>(p, entry), shared) / double(s.reduced);
    const auto deviation = [=](index_t r) {
        const double d = T(entry(r) - mean);
        return d * d;
    };
    const double square = across<Plus<double>>(along<Plus<double>, double>(p, deviation), shared);
    return {mean, T(1 / sqrt(square / double(s.reduced) + eps))};
}

TG_KERNEL(norm_layer, THREADS, const T* x, const T* gamma, const T* beta, T* y, const __grid_constant__ Shape s,
          double eps) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    const Standard x_hat = standard_of(x, s, p, eps, shared);
    const index_t row = p.o * s.reduced;
    for (index_t c = p.from; c < p.end; c += blockDim.y) y[row + c] = x_hat(x[row + c]) * gamma[c] + beta[c];
}

// g_x = inverse (d - mean of d - x_hat mean of d x_hat), d = g gamma; means and inverses (rows,) for norm_layer_sums
TG_KERNEL(norm_layer_grad, THREADS, const T* g, const T* x, const T* gamma, T* g_x, double* means, T* inverses,
          const __grid_constant__ Shape s, double eps) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    const Standard x_hat = standard_of(x, s, p, eps, shared);
    const index_t row = p.o * s.reduced;
    double sum = 0, along_x = 0;
    for (index_t c = p.from; c < p.end; c += blockDim.y) {
        const T d = g[row + c] * gamma[c];
        sum += d;
        along_x += double(d) * x_hat(x[row + c]);
    }
    const T mean = T(across<Plus<double>>(sum, shared) / double(s.reduced));
    const T slope = T(across<Plus<double>>(along_x, shared) / double(s.reduced));
    for (index_t c = p.from; c < p.end; c += blockDim.y)
        g_x[row + c] = x_hat.inverse * (g[row + c] * gamma[c] - mean - x_hat(x[row + c]) * slope);
    if (!p.inside || threadIdx.y) return;
    means[p.o] = x_hat.mean;
    inverses[p.o] = x_hat.inverse;
}

// Of each part of the rows: the sums of g x_hat and of g.
TG_KERNEL(norm_layer_sums, THREADS, const T* g, const T* x, const double* means, const T* inverses, double* by_gamma,
          double* by_beta, const __grid_constant__ Shape s) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    double sum = 0, along_x = 0;
#pragma unroll 4
    for (index_t r = p.from; r < p.end; r += blockDim.y) {
        const Standard x_hat = {means[r], inverses[r]};
        const double by_y = g[r * s.inner + p.i];
        along_x += by_y * x_hat(x[r * s.inner + p.i]);
        sum += by_y;
    }
    along_x = across<Plus<double>>(along_x, shared);
    sum = across<Plus<double>>(sum, shared);
    if (!p.inside || threadIdx.y) return;
    by_gamma[p.part * s.inner + p.i] = along_x;
    by_beta[p.part * s.inner + p.i] = sum;
}

TG_KERNEL(norm_layer_totals, THREADS, const double* by_gamma, const double* by_beta, T* g_gamma, T* g_beta,
          const __grid_constant__ Shape s) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    const double along_x = across<Plus<double>>(along<Plus<double>, double>(p, entries(by_gamma, s, p)), shared);
    const double sum = across<Plus<double>>(along<Plus<double>, double>(p, entries(by_beta, s, p)), shared);
    if (!p.inside || threadIdx.y) return;
    g_gamma[p.i] = T(along_x);
    g_beta[p.i] = T(sum);
}
