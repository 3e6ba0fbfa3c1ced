// Bernoulli and Gaussian log-probabilities, a KL divergence, and their gradients, in nats.
//
// Sums: a row of rows.h is an event.  Traffic: 8 bytes an entry in float32 with two operands, 12 with three, read once;
// arithmetic: an exp, a log1p and 8 operations (Bernoulli), an exp and 6 (Gaussian).  A term is worked out in T and added
// in float64.  Gradients: a thread has one entry, 256 a block; 16 to 24 bytes and 30 to 40 operations each.  All wait for
// memory.
#include "formulas.h"
#include "rows.h"

// y (batch,) = the sum over each event's entries i of `term`
#define SUM(name, term, ...)                                                                      \
    TG_KERNEL(logprob_##name, THREADS, __VA_ARGS__, T* y, const __grid_constant__ Shape s) {      \
        __shared__ double shared[THREADS];                                                        \
        const Place p = place_in(s);                                                              \
        const index_t row = p.o * s.reduced;                                                      \
        const auto one = [=](index_t r) {                                                         \
            const index_t i = row + r;                                                            \
            return term;                                                                          \
        };                                                                                        \
        const double sum = across<Plus<double>>(along<Plus<double>, double>(p, one), shared);     \
        if (p.inside && threadIdx.y == 0) y[p.o] = T(sum);                                        \
    }

// x v - max(v, 0) - log(1 + e**-|v|), the first two joined so that nothing cancels for x = 1, v large
__device__ __forceinline__ T bernoulli(T x, T v) { return v * (x - (v > 0 ? T(1) : T(0))) - tail(v); }

__device__ __forceinline__ T gaussian(T d, T v) { return T(-0.5) * (T(1.8378770664093453) + v + d * d * exp(-v)); }

__device__ __forceinline__ T kl(T m, T v) { return T(0.5) * (expm1(v) - v + m * m); }

SUM(bernoulli_log_prob, bernoulli(x[i], logits[i]), const T* x, const T* logits)
SUM(gaussian_log_prob, gaussian(x[i] - mu[i], log_var[i]), const T* x, const T* mu, const T* log_var)
SUM(gaussian_kl, kl(mu[i], log_var[i]), const T* mu, const T* log_var)

// -- gradients: g (batch,), the others (batch, length), n entries ------------------------------------------------------

TG_KERNEL(logprob_bernoulli_log_prob_grad, THREADS, const T* g, const T* x, const T* logits, T* g_logits, index_t n,
          index_t length) {
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) g_logits[i] = g[i / length] * (x[i] - sigmoid_of(logits[i]));
}

TG_KERNEL(logprob_gaussian_log_prob_grad, THREADS, const T* g, const T* x, const T* mu, const T* log_var, T* g_mu,
          T* g_log_var, index_t n, index_t length) {
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n) return;
    const T by = g[i / length], away = x[i] - mu[i], d = away * exp(-log_var[i]);
    g_mu[i] = by * d;
    g_log_var[i] = by * T(0.5) * (d * away - 1);
}

TG_KERNEL(logprob_gaussian_kl_grad, THREADS, const T* g, const T* mu, const T* log_var, T* g_mu, T* g_log_var,
          index_t n, index_t length) {
    const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n) return;
    const T by = g[i / length];
    g_mu[i] = by * mu[i];
    g_log_var[i] = by * T(0.5) * expm1(log_var[i]);
}
