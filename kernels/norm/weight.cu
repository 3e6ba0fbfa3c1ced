// Weight normalisation of v (1, rows, columns) by the norm of each column, and its gradient.
//
// Traffic in float32: forward v twice and w once, 12 bytes an entry; backward g and v twice and g_v once, 20.
// Arithmetic: 2 to 4 operations.  Weights are small and mostly in the second-level cache: launches are what it costs.
// Rows are cut into parts, and blocks are those of rows.h; a second kernel adds the parts' sums, in float64.
#include "rows.h"

// Of each part: the sums of v**2 and of g v.
TG_KERNEL(norm_weight_sums, THREADS, const T* g, const T* v, double* squares, double* products,
          const __grid_constant__ Shape s) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    double square = 0, product = 0;
#pragma unroll 4
    for (index_t r = p.from; r < p.end; r += blockDim.y) {
        const double here = v[r * s.inner + p.i];
        square += here * here;
        product += g[r * s.inner + p.i] * here;
    }
    square = across<Plus<double>>(square, shared);
    product = across<Plus<double>>(product, shared);
    if (!p.inside || threadIdx.y) return;
    squares[p.part * s.inner + p.i] = square;
    products[p.part * s.inner + p.i] = product;
}

// scale = gain / |v|
TG_KERNEL(norm_weight_scale, THREADS, const double* squares, const T* gain, T* scale, const __grid_constant__ Shape s) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    const double square = across<Plus<double>>(along<Plus<double>, double>(p, entries(squares, s, p)), shared);
    if (p.inside && threadIdx.y == 0) scale[p.i] = T(gain[p.i] / sqrt(square));
}

// g_gain, and factors (2, columns) with which g_v = factor 0 g + factor 1 v
TG_KERNEL(norm_weight_factors, THREADS, const double* squares, const double* products, const T* gain, T* g_gain,
          T* factors, const __grid_constant__ Shape s) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    const double square = across<Plus<double>>(along<Plus<double>, double>(p, entries(squares, s, p)), shared);
    const double product = across<Plus<double>>(along<Plus<double>, double>(p, entries(products, s, p)), shared);
    if (!p.inside || threadIdx.y) return;
    const double norm = sqrt(square), scale = gain[p.i] / norm;
    g_gain[p.i] = T(product / norm);
    factors[p.i] = T(scale);
    factors[s.inner + p.i] = T(-scale * product / square);
}

TG_KERNEL(norm_weight, THREADS, const T* __restrict__ v, const T* scale, T* __restrict__ w,
          const __grid_constant__ Shape s) {
    const Place p = place_in(s);
    if (!p.inside) return;
    const T by = scale[p.i];
#pragma unroll 4
    for (index_t r = p.from; r < p.end; r += blockDim.y) w[r * s.inner + p.i] = by * v[r * s.inner + p.i];
}

TG_KERNEL(norm_weight_grad, THREADS, const T* __restrict__ g, const T* __restrict__ v, const T* factors,
          T* __restrict__ g_v, const __grid_constant__ Shape s) {
    const Place p = place_in(s);
    if (!p.inside) return;
    const T by_g = factors[p.i], by_v = factors[s.inner + p.i];
#pragma unroll 4
    for (index_t r = p.from; r < p.end; r += blockDim.y) {
        const index_t i = r * s.inner + p.i;
        g_v[i] = by_g * g[i] + by_v * v[i];
    }
}
