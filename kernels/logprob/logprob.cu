// Log-probabilities and a KL divergence, summed over the event of each batch entry, and their gradients.
//
// Traffic: each input is read once and each output written once, 4 sizeof(T) bytes an entry at most; arithmetic: one to
// three exponentials or logarithms an entry; all wait for memory.  Sums: rows.h, in float64.  Gradients: a thread an
// entry, 256 a block, with g read once for a whole event from the cache.
#include "formulas.h"
#include "rows.h"

#define NUMBER const index_t i = index_t(blockIdx.x) * THREADS + threadIdx.x

// y (batch,) = the sum of a term over events of s.reduced entries.
#define SUMMED(term)                                                                     \
    __shared__ double shared[THREADS];                                                   \
    const Place p = place_in(s);                                                         \
    const index_t row = p.o * s.reduced;                                                 \
    const auto one = [=](index_t r) {                                                    \
        const index_t i = row + r;                                                       \
        return term;                                                                     \
    };                                                                                   \
    const double whole = across<Plus<double>>(along<Plus<double>, double>(p, one), shared); \
    if (p.inside && threadIdx.y == 0) y[p.o] = T(whole)

TG_KERNEL(logprob_bernoulli_log_prob, THREADS, const T* x, const T* logits, T* y, const __grid_constant__ Shape s) {
    SUMMED(x[i] * logits[i] - softplus_of(logits[i]));
}

TG_KERNEL(logprob_bernoulli_log_prob_grad, THREADS, const T* g, const T* x, const T* logits, T* g_logits, index_t n,
          index_t event) {
    NUMBER;
    if (i < n) g_logits[i] = g[i / event] * (x[i] - sigmoid_of(logits[i]));
}

// log(2 pi) = 1.8378770664093453
TG_KERNEL(logprob_gaussian_log_prob, THREADS, const T* x, const T* mu, const T* log_var, T* y,
          const __grid_constant__ Shape s) {
    SUMMED(T(-0.5) * (T(1.8378770664093453) + log_var[i] + (x[i] - mu[i]) * (x[i] - mu[i]) * exp(-log_var[i])));
}

TG_KERNEL(logprob_gaussian_log_prob_grad, THREADS, const T* g, const T* x, const T* mu, const T* log_var, T* g_mu,
          T* g_log_var, index_t n, index_t event) {
    NUMBER;
    if (i >= n) return;
    const T away = x[i] - mu[i], d = away * exp(-log_var[i]), by = g[i / event];
    g_mu[i] = by * d;
    g_log_var[i] = by * (d * away - 1) * T(0.5);
}

TG_KERNEL(logprob_gaussian_kl, THREADS, const T* mu, const T* log_var, T* y, const __grid_constant__ Shape s) {
    SUMMED(T(0.5) * (expm1(log_var[i]) - log_var[i] + mu[i] * mu[i]));
}

TG_KERNEL(logprob_gaussian_kl_grad, THREADS, const T* g, const T* mu, const T* log_var, T* g_mu, T* g_log_var, index_t n,
          index_t event) {
    NUMBER;
    if (i >= n) return;
    g_mu[i] = g[i / event] * mu[i];
    g_log_var[i] = g[i / event] * expm1(log_var[i]) * T(0.5);
}

// Of each row of logits (sites, K): lse = logsumexp, and chosen = logits[label] - lse.
TG_KERNEL(logprob_categorical_sites, THREADS, const index_t* labels, const T* logits, T* chosen, T* lse,
          const __grid_constant__ Shape s) {
    __shared__ T peaks[THREADS];
    __shared__ double masses[THREADS];
    const Place p = place_in(s);
    double mass;
    const Mass below = mass_of(logits, s, p, peaks, masses, mass);
    if (!p.inside || threadIdx.y) return;
    const T whole = T(below.shift + log(mass));
    lse[p.o] = whole;
    chosen[p.o] = below.row[labels[p.o]] - whole;
}

// g_y onehot(label) + (g_lse - g_y) exp(logits - lse); n entries, K of a site, `event` sites of a batch entry.
TG_KERNEL(logprob_categorical_head_grad, THREADS, const T* g_y, const T* g_lse, const index_t* labels, const T* logits,
          const T* lse, T* g_logits, index_t n, index_t count, index_t event) {
    NUMBER;
    if (i >= n) return;
    const index_t site = i / count;
    const T by = g_y[site / event], below = (g_lse[site] - by) * exp(logits[i] - lse[site]);
    g_logits[i] = i - site * count == labels[site] ? by + below : below;
}
