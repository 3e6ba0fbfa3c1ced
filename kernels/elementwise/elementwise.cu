// Elementwise kernels with broadcasting: an entry of y is a formula of one entry of each operand.
//
// Traffic: one read of each operand and one write, 8 bytes an entry in float32 with one operand, 12 with two; arithmetic
// 1 (add) to about 40 operations (gelu_grad).  On a GPU with 3 TB/s and 50 TFLOP/s all but the dearest wait for memory.
// Blocks of 256 threads, 4 entries a thread, 256 apart: a warp's accesses are neighbours, four loads are under way
// before the first is used, and no alignment is asked of the arrays.  Five blocks or more fit on a multiprocessor.
#include "walk.h"

#define THREADS 256
#define EACH 4

template <class F, class Y> __device__ __forceinline__ void one(const T* x, Y* y, index_t n, T p, T q) {
    const index_t first = index_t(blockIdx.x) * (THREADS * EACH) + threadIdx.x;
    T entry[EACH];
#pragma unroll
    for (int k = 0; k < EACH; k++)
        if (first + k * THREADS < n) entry[k] = x[first + k * THREADS];
#pragma unroll
    for (int k = 0; k < EACH; k++)
        if (first + k * THREADS < n) y[first + k * THREADS] = F::of(entry[k], p, q);
}

template <class F, class Y>
__device__ __forceinline__ void two(const T* a, const T* b, Y* y, const Way<2>& way, T p, T q) {
    const index_t first = index_t(blockIdx.x) * (THREADS * EACH) + threadIdx.x;
    T left[EACH], right[EACH];
#pragma unroll
    for (int k = 0; k < EACH; k++)
        if (first + k * THREADS < way.n) {
            index_t at[2];
            places(way, first + k * THREADS, at);
            left[k] = a[at[0]], right[k] = b[at[1]];
        }
#pragma unroll
    for (int k = 0; k < EACH; k++)
        if (first + k * THREADS < way.n) y[way.first + first + k * THREADS] = F::of(left[k], right[k], p, q);
}

// A row of the table: the kernel, the type of its results, and the formula of x, or of a and b; p and q are parameters.
#define UNARY(name, Y, ...)                                                                                       \
    struct name##_formula {                                                                                       \
        static __device__ __forceinline__ Y of(T x, T p, T q) { return __VA_ARGS__; }                             \
    };                                                                                                            \
    TG_KERNEL(elementwise_##name, THREADS, const T* x, Y* y, index_t n, T p, T q) {                               \
        one<name##_formula>(x, y, n, p, q);                                                                       \
    }
#define BINARY(name, Y, ...)                                                                                      \
    struct name##_formula {                                                                                       \
        static __device__ __forceinline__ Y of(T a, T b, T p, T q) { return __VA_ARGS__; }                        \
    };                                                                                                            \
    TG_KERNEL(elementwise_##name, THREADS, const T* a, const T* b, Y* y, const __grid_constant__ Way<2> way, T p, \
              T q) {                                                                                              \
        two<name##_formula>(a, b, y, way, p, q);                                                                  \
    }

// -- arithmetic; conditions are written so that a NaN stays a NaN -------------------------------------------------------
BINARY(add, T, a + b)
BINARY(sub, T, a - b)
BINARY(mul, T, a * b)
UNARY(neg, T, -x)
BINARY(maximum, T, a >= b || a != a ? a : b)
BINARY(minimum, T, a <= b || a != a ? a : b)

// -- comparisons --------------------------------------------------------------------------------------------------------
BINARY(equal, bool, a == b)
BINARY(not_equal, bool, a != b)
BINARY(less, bool, a < b)
BINARY(less_equal, bool, a <= b)
BINARY(greater, bool, a > b)
BINARY(greater_equal, bool, a >= b)

TG_KERNEL(elementwise_where, THREADS, const bool* cond, const T* a, const T* b, T* y, const __grid_constant__ Way<3> way) {
    const index_t first = index_t(blockIdx.x) * (THREADS * EACH) + threadIdx.x;
#pragma unroll
    for (int k = 0; k < EACH; k++)
        if (first + k * THREADS < way.n) {
            index_t at[3];
            places(way, first + k * THREADS, at);
            y[way.first + first + k * THREADS] = cond[at[0]] ? a[at[1]] : b[at[2]];
        }
}

#if !T_IS_FLOAT
UNARY(logical_not, bool, !x)
BINARY(logical_and, bool, a & b)
BINARY(logical_or, bool, a | b)
#else
#include "formulas.h"
BINARY(div, T, a / b)
UNARY(abs, T, fabs(x))
UNARY(sign, T, x > 0 ? T(1) : x < 0 ? T(-1) : x)
UNARY(floor, T, floor(x))
UNARY(clip, T, x < p ? p : x > q ? q : x)  // p low, q high
UNARY(isfinite, bool, tg_finite(x))

// -- functions: the C library's, within 2 units in the last place; a GPU's pow and erfc in float32 within 4 -------------
UNARY(exp, T, exp(x))
UNARY(expm1, T, expm1(x))
UNARY(log, T, log(x))
UNARY(log1p, T, log1p(x))
UNARY(sqrt, T, sqrt(x))
UNARY(pow, T, p == 2 ? x * x : pow(x, p))  // p exponent
UNARY(sin, T, sin(x))
UNARY(cos, T, cos(x))
UNARY(tanh, T, tanh(x))

// -- activations --------------------------------------------------------------------------------------------------------
__device__ __forceinline__ T below(T x) { return T(0.5) * erfc(T(-0.70710678118654752) * x); }  // Phi
__device__ __forceinline__ T density(T x) { return T(0.39894228040143268) * exp(T(-0.5) * x * x); }  // phi

UNARY(sigmoid, T, sigmoid_of(x))
UNARY(log_sigmoid, T, (x > 0 ? T(0) : x) - tail(x))
UNARY(softplus, T, softplus_of(x))
UNARY(relu, T, x < 0 ? T(0) : x)
UNARY(leaky_relu, T, x > 0 ? x : p * x)  // p slope
UNARY(elu, T, x > 0 ? x : p * expm1(x))  // p alpha
UNARY(gelu, T, x * below(x))

// -- their gradients: a is g_y; b is y, or x where it says so -----------------------------------------------------------
BINARY(tanh_grad, T, a * (1 - b * b))
BINARY(sigmoid_grad, T, a * (b * (1 - b)))
BINARY(relu_grad, T, b > 0 ? a : T(0))
BINARY(leaky_relu_grad, T, b > 0 ? a : p * a)
BINARY(elu_grad, T, b > 0 ? a : a * (b + p))
BINARY(softplus_grad, T, a * sigmoid_of(b))                    // x
BINARY(gelu_grad, T, a * (below(b) + b * density(b)))          // x
BINARY(clip_grad, T, b >= p && b <= q ? a : T(0))              // x
BINARY(precedence, T, a > b ? T(1) : a == b ? T(0.5) : T(0))
#endif
