// log p(label) of a site's logits, with their normaliser, and the gradient; labels are of type L.
//
// Traffic: logits are read once from memory, 4 bytes an entry in float32 (a second time from the first-level cache);
// with the gradient 8.  Arithmetic: an exp an entry.  Both wait for memory.
// A site has a team of 1 to 32 neighbouring threads, 4 logits each or more, and a block 256 threads: as no team is more
// than a warp, nothing waits for a barrier, and 256 categories are 8 loads a thread, neighbours across the warp.
#define THREADS 256

struct Site {  // of this thread's team; its own entries are first, first + blockDim.x, ... below end
    index_t number, first, end;
};

__device__ __forceinline__ Site site_of(index_t sites, index_t categories) {
    const index_t number = index_t(blockIdx.x) * blockDim.y + threadIdx.y, start = number * categories;
    return {number, start + threadIdx.x, number < sites ? start + categories : start};
}

// lse = logsumexp of a site's logits; term = logits[label] - lse, for which lse is not rounded.  A NaN is never the
// highest, and comes through the sum.
TG_KERNEL(logprob_categorical_head, THREADS, const L* labels, const T* logits, T* term, T* lse, index_t sites,
          index_t categories) {
    const Site site = site_of(sites, categories);
    T highest = T(-tg_infinity()), sum = 0;
    for (index_t i = site.first; i < site.end; i += blockDim.x) highest = logits[i] > highest ? logits[i] : highest;
    for (unsigned mask = 1; mask < blockDim.x; mask *= 2) {
        const T other = tg_shfl_xor(highest, mask);
        highest = other > highest ? other : highest;
    }
    for (index_t i = site.first; i < site.end; i += blockDim.x) sum += exp(logits[i] - highest);
    for (unsigned mask = 1; mask < blockDim.x; mask *= 2) sum += tg_shfl_xor(sum, mask);
    if (site.number >= sites || threadIdx.x) return;
    const T normaliser = log(sum);
    lse[site.number] = highest + normaliser;
    term[site.number] = logits[site.first + index_t(labels[site.number])] - highest - normaliser;
}

// g_logits = g_y onehot(label) + (g_lse - g_y) exp(logits - lse), g_y of the event that has `length` sites
TG_KERNEL(logprob_categorical_head_grad, THREADS, const T* g_y, const T* g_lse, const L* labels, const T* logits,
          const T* lse, T* g_logits, index_t sites, index_t categories, index_t length) {
    const Site site = site_of(sites, categories);
    if (site.number >= sites) return;
    const T by_y = g_y[site.number / length], scale = g_lse[site.number] - by_y, shift = lse[site.number];
    const index_t chosen = site.number * categories + index_t(labels[site.number]);
    for (index_t i = site.first; i < site.end; i += blockDim.x) {
        const T below = scale * exp(logits[i] - shift);
        g_logits[i] = i == chosen ? below + by_y : below;
    }
}
