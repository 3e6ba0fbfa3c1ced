// Arrays of any strides, walked together, entry by entry in C order: where entry i of each one lies.

#define AXES 8

template <int K> struct Way {  // walk.py fills it; counts are entries
    index_t n, axes, first;    // entries of this walk, axes that are left, and the number of its first entry
    index_t length[AXES];
    index_t start[K], step[K][AXES];  // of each array; a step of 0 repeats it along that axis
};

template <class I, int K> __device__ __forceinline__ void divided(const Way<K>& way, I i, index_t (&at)[K]) {
    for (int a = int(way.axes) - 1; a > 0; a--) {
        const I n = I(way.length[a]), rest = i / n, here = i - rest * n;
#pragma unroll
        for (int k = 0; k < K; k++) at[k] += index_t(here) * way.step[k][a];
        i = rest;
    }
#pragma unroll
    for (int k = 0; k < K; k++) at[k] += index_t(i) * way.step[k][0];
}

// The places of entry i.  Divisions of 64 bits take a GPU several times those of 32, and are for long arrays only.
template <int K> __device__ __forceinline__ void places(const Way<K>& way, index_t i, index_t (&at)[K]) {
#pragma unroll
    for (int k = 0; k < K; k++) at[k] = way.start[k];
    if (way.n <= 0xffffffffLL)
        divided<unsigned>(way, unsigned(i), at);
    else
        divided<unsigned long long>(way, (unsigned long long)i, at);
}
