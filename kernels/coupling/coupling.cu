// Affine coupling, plain and with its network's output, scale and mask.
//
// Traffic in float32: 16 bytes an entry of x forward, 20 or 24 backward, 28 backward with the network (g, x, h read, two
// gradients written); arithmetic: an exp an entry, and with the network a tanh.  All wait for memory.
// Forward, rows of rows.h are examples, for the log-determinant, with up to 256 threads each.  The plain gradients are
// entry by entry, 256 a block.  With the network rows are pixels, and the gradient of the scale is a sum down each
// channel: its parts are worked out on the way, and added by a kernel of their own.  Sums are in float64.
#include "rows.h"

// y = x exp(s) + t, log_det = sum of s; inverse: x = (y - t) exp(-s), log_det = -(sum of s)
TG_KERNEL(coupling_affine, THREADS, const T* x, const T* s, const T* t, T* y, T* log_det,
          const __grid_constant__ Shape shape) {
    __shared__ double shared[THREADS];
    const Place p = place_in(shape);
    const index_t row = p.o * shape.reduced;
    double sum = 0;
    for (index_t i = row + p.from; i < row + p.end; i += blockDim.y) {
        y[i] = x[i] * exp(s[i]) + t[i];
        sum += s[i];
    }
    sum = across<Plus<double>>(sum, shared);
    if (p.inside && threadIdx.y == 0) log_det[p.o] = T(sum);
}

TG_KERNEL(coupling_affine_inverse, THREADS, const T* y, const T* s, const T* t, T* x, T* log_det,
          const __grid_constant__ Shape shape) {
    __shared__ double shared[THREADS];
    const Place p = place_in(shape);
    const index_t row = p.o * shape.reduced;
    double sum = 0;
    for (index_t i = row + p.from; i < row + p.end; i += blockDim.y) {
        x[i] = (y[i] - t[i]) * exp(-s[i]);
        sum += s[i];
    }
    sum = across<Plus<double>>(sum, shared);
    if (p.inside && threadIdx.y == 0) log_det[p.o] = T(-sum);
}

// g_x = g_y exp(s), g_s = g_x x + g_log_det
TG_KERNEL(coupling_affine_grad, THREADS, const T* g_y, const T* g_log_det, const T* x, const T* s, T* g_x, T* g_s,
          index_t n, index_t length) {
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n) return;
    const T by_x = g_y[i] * exp(s[i]);
    g_x[i] = by_x;
    g_s[i] = by_x * x[i] + g_log_det[i / length];
}

// g_y = g_x exp(-s), g_s = -g_x x - g_log_det, g_t = -g_y; x is the output
TG_KERNEL(coupling_affine_inverse_grad, THREADS, const T* g_x, const T* g_log_det, const T* x, const T* s, T* g_y,
          T* g_s, T* g_t, index_t n, index_t length) {
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n) return;
    const T by_y = g_x[i] * exp(-s[i]);
    g_y[i] = by_y;
    g_s[i] = -g_x[i] * x[i] - g_log_det[i / length];
    g_t[i] = -by_y;
}

// -- with the network's output h (N, pixels, 2 channels), scale (channels,) and mask (pixels, channels) --------------

struct Shift {  // of an entry: s = a gain with a the tanh of what the network gave, and t
    T a, gain, moved, s, t;
};

// `h` points to the first of the entry's two numbers; the second one lies `channels` further.
__device__ __forceinline__ Shift shift_of(const T* h, index_t channels, T scale, T mask) {
    const T a = tanh(h[0]), moved = 1 - mask, gain = scale * moved;
    return {a, gain, moved, a * gain, h[channels] * moved};
}

// Entry r of an example; h and mask are the example's.
__device__ __forceinline__ Shift shift_in(const T* h, const T* scale, const T* mask, index_t r, index_t channels) {
    const index_t before = r / channels * channels;  // entries of the pixels before, which have as many more in h
    return shift_of(h + before + r, channels, scale[r - before], mask[r]);
}

TG_KERNEL(coupling_masked, THREADS, const T* x, const T* h, const T* scale, const T* mask, T* y, T* log_det,
          const __grid_constant__ Shape shape, index_t channels) {
    __shared__ double shared[THREADS];
    const Place p = place_in(shape);
    const index_t row = p.o * shape.reduced;
    double sum = 0;
    for (index_t r = p.from; r < p.end; r += blockDim.y) {
        const Shift by = shift_in(h + 2 * row, scale, mask, r, channels);
        y[row + r] = x[row + r] * exp(by.s) + by.t;
        sum += by.s;
    }
    sum = across<Plus<double>>(sum, shared);
    if (p.inside && threadIdx.y == 0) log_det[p.o] = T(sum);
}

TG_KERNEL(coupling_masked_inverse, THREADS, const T* y, const T* h, const T* scale, const T* mask, T* x, T* log_det,
          const __grid_constant__ Shape shape, index_t channels) {
    __shared__ double shared[THREADS];
    const Place p = place_in(shape);
    const index_t row = p.o * shape.reduced;
    double sum = 0;
    for (index_t r = p.from; r < p.end; r += blockDim.y) {
        const Shift by = shift_in(h + 2 * row, scale, mask, r, channels);
        x[row + r] = (y[row + r] - by.t) * exp(-by.s);
        sum += by.s;
    }
    sum = across<Plus<double>>(sum, shared);
    if (p.inside && threadIdx.y == 0) log_det[p.o] = T(-sum);
}

// From the cotangents of s and t to those of the entry's two numbers; returns the term of g_scale.
__device__ __forceinline__ T through_network(T* g_h, index_t channels, T g_s, T g_t, const Shift& by) {
    g_h[0] = g_s * (by.gain * (1 - by.a * by.a));
    g_h[channels] = g_t * by.moved;
    return g_s * by.a * by.moved;
}

// Rows are the pixels of all examples, `pixels` of each, and inner entries their channels; partial (parts, channels).
TG_KERNEL(coupling_masked_grad, THREADS, const T* g_y, const T* g_log_det, const T* x, const T* h, const T* scale,
          const T* mask, T* g_x, T* g_h, double* partial, const __grid_constant__ Shape shape, index_t pixels) {
    __shared__ double shared[THREADS];
    const Place p = place_in(shape);
    const index_t channels = shape.inner;
    double sum = 0;
    for (index_t r = p.from; r < p.end; r += blockDim.y) {
        const index_t i = r * channels + p.i, at = i + r * channels, n = r / pixels;
        const Shift by = shift_of(h + at, channels, scale[p.i], mask[i - n * pixels * channels]);
        const T by_x = g_y[i] * exp(by.s);
        g_x[i] = by_x;
        sum += through_network(g_h + at, channels, by_x * x[i] + g_log_det[n], g_y[i], by);
    }
    sum = across<Plus<double>>(sum, shared);
    if (p.inside && threadIdx.y == 0) partial[p.part * channels + p.i] = sum;
}

TG_KERNEL(coupling_masked_inverse_grad, THREADS, const T* g_x, const T* g_log_det, const T* x, const T* h,
          const T* scale, const T* mask, T* g_y, T* g_h, double* partial, const __grid_constant__ Shape shape,
          index_t pixels) {
    __shared__ double shared[THREADS];
    const Place p = place_in(shape);
    const index_t channels = shape.inner;
    double sum = 0;
    for (index_t r = p.from; r < p.end; r += blockDim.y) {
        const index_t i = r * channels + p.i, at = i + r * channels, n = r / pixels;
        const Shift by = shift_of(h + at, channels, scale[p.i], mask[i - n * pixels * channels]);
        const T by_y = g_x[i] * exp(-by.s);
        g_y[i] = by_y;
        sum += through_network(g_h + at, channels, -g_x[i] * x[i] - g_log_det[n], -by_y, by);
    }
    sum = across<Plus<double>>(sum, shared);
    if (p.inside && threadIdx.y == 0) partial[p.part * channels + p.i] = sum;
}

TG_KERNEL(coupling_add_parts, THREADS, const double* partial, T* g_scale, const __grid_constant__ Shape shape) {
    __shared__ double shared[THREADS];
    const Place p = place_in(shape);
    const double sum = across<Plus<double>>(along<Plus<double>, double>(p, entries(partial, shape, p)), shared);
    if (p.inside && threadIdx.y == 0) g_scale[p.i] = T(sum);
}
