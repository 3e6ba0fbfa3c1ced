// Optimizer updates, each in one pass over a parameter and its buffers; launched once for every gradient.
//
// Traffic: 12 (sgd) to 36 bytes an entry in float32, every array read and written once, in place; arithmetic: up to 20
// operations and two roots; all wait for memory.  A thread an entry, 256 a block.  What depends on the number of the
// update alone is worked out once a block, in float64, from arrays that a recorded step may change.
#include "rows.h"

#define NUMBER const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x

TG_KERNEL(optim_advance, 1, const index_t* step, index_t* next) { next[0] = step[0] + 1; }

// One part of the sum of g^2, in float64.
TG_KERNEL(optim_squares, THREADS, const T* g, double* parts, const __grid_constant__ Shape s) {
    __shared__ double shared[THREADS];
    const Place p = place_in(s);
    const auto square = [=](index_t r) { return double(g[r]) * double(g[r]); };
    const double whole = across<Plus<double>>(along<Plus<double>, double>(p, square), shared);
    if (threadIdx.y == 0) parts[p.part] = whole;
}

TG_KERNEL(optim_clip_scale, 1, const double* squares, double* scale, double* norm, index_t n, double most) {
    double total = 0;
    for (index_t i = 0; i < n; i++) total += squares[i];
    const double root = sqrt(total), wanted = most / (root + 1e-6);
    norm[0] = root;
    scale[0] = tg_finite(root) ? (wanted < 1 ? wanted : 1) : root - root;  // NaN
}

TG_KERNEL(optim_scaled, THREADS, const T* x, const double* scale, T* y, index_t n) {
    NUMBER;
    if (i < n) y[i] = x[i] * T(scale[0]);
}

TG_KERNEL(optim_sgd, THREADS, const T* p, const T* buffer, const double* scale, const double* lr, const T* gradient,
          T* new_p, T* new_buffer, index_t n, double momentum, int nesterov, double weight_decay) {
    NUMBER;
    if (i >= n) return;
    T g = gradient[i] * T(scale[0]) + T(weight_decay) * p[i];
    if (momentum != 0) {
        const T b = T(momentum) * buffer[i] + g;
        g = nesterov ? g + T(momentum) * b : b;
        new_buffer[i] = b;
    }
    new_p[i] = p[i] - T(lr[0]) * g;
}

TG_KERNEL(optim_adam, THREADS, const T* p, const T* m, const T* v, const double* scale, const double* lr,
          const index_t* step, const T* gradient, T* new_p, T* new_m, T* new_v, index_t n, double beta1, double beta2,
          double eps, double weight_decay, int decoupled) {
    __shared__ T rate, root;
    if (threadIdx.x == 0) {
        rate = T(lr[0] / (1 - pow(beta1, double(step[0]))));
        root = T(1 / sqrt(1 - pow(beta2, double(step[0]))));
    }
    __syncthreads();
    NUMBER;
    if (i >= n) return;
    const T old = p[i], kept = decoupled ? old * T(1 - lr[0] * weight_decay) : old;
    const T g = gradient[i] * T(scale[0]) + (decoupled ? T(0) : T(weight_decay) * old);
    const T next_m = T(beta1) * m[i] + T(1 - beta1) * g, next_v = T(beta2) * v[i] + T(1 - beta2) * g * g;
    new_m[i] = next_m, new_v[i] = next_v;
    new_p[i] = kept - rate * next_m / (sqrt(next_v) * root + T(eps));
}

TG_KERNEL(optim_adamax, THREADS, const T* p, const T* m, const T* u, const double* scale, const double* lr,
          const index_t* step, const T* gradient, T* new_p, T* new_m, T* new_u, index_t n, double beta1, double beta2,
          double eps, double weight_decay) {
    __shared__ T rate;
    if (threadIdx.x == 0) rate = T(lr[0] / (1 - pow(beta1, double(step[0]))));
    __syncthreads();
    NUMBER;
    if (i >= n) return;
    const T g = gradient[i] * T(scale[0]) + T(weight_decay) * p[i];
    const T next_m = T(beta1) * m[i] + T(1 - beta1) * g, far = T(beta2) * u[i], near = fabs(g) + T(eps);
    const T next_u = far >= near || far != far ? far : near;  // a NaN stays
    new_p[i] = p[i] - rate * next_m / next_u;
    new_m[i] = next_m, new_u[i] = next_u;
}

TG_KERNEL(optim_rmsprop, THREADS, const T* p, const T* square, const T* average, const T* buffer, const double* scale,
          const double* lr, const T* gradient, T* new_p, T* new_square, T* new_average, T* new_buffer, index_t n,
          double alpha, double eps, double momentum, int centered, double weight_decay) {
    NUMBER;
    if (i >= n) return;
    const T g = gradient[i] * T(scale[0]) + T(weight_decay) * p[i];
    const T next = T(alpha) * square[i] + T(1 - alpha) * g * g;
    T spread = next;
    if (centered) {
        const T mean = T(alpha) * average[i] + T(1 - alpha) * g;
        spread = next - mean * mean;
        new_average[i] = mean;
    }
    T d = g / (sqrt(spread) + T(eps));
    if (momentum != 0) {
        d = T(momentum) * buffer[i] + d;
        new_buffer[i] = d;
    }
    new_p[i] = p[i] - T(lr[0]) * d;
    new_square[i] = next;
}

TG_KERNEL(optim_adadelta, THREADS, const T* p, const T* square, const T* delta, const double* scale, const double* lr,
          const T* gradient, T* new_p, T* new_square, T* new_delta, index_t n, double rho, double eps,
          double weight_decay) {
    NUMBER;
    if (i >= n) return;
    const T g = gradient[i] * T(scale[0]) + T(weight_decay) * p[i];
    const T next = T(rho) * square[i] + T(1 - rho) * g * g;
    const T d = sqrt(delta[i] + T(eps)) / sqrt(next + T(eps)) * g;
    new_delta[i] = T(rho) * delta[i] + T(1 - rho) * d * d;
    new_p[i] = p[i] - T(lr[0]) * d;
    new_square[i] = next;
}

TG_KERNEL(optim_ema, THREADS, const T* average, const T* p, T* next, index_t n, double decay) {
    NUMBER;
    if (i < n) next[i] = average[i] + T(1 - decay) * (p[i] - average[i]);
}
