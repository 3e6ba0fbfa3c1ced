// Functions of one entry that several families use.

__device__ __forceinline__ T sigmoid_of(T x) {  // accurate in both tails
    const T e = exp(-fabs(x));
    return (x < 0 ? e : T(1)) / (1 + e);
}
__device__ __forceinline__ T tail(T x) { return log1p(exp(-fabs(x))); }  // softplus(x) - max(x, 0)
__device__ __forceinline__ T softplus_of(T x) { return (x < 0 ? T(0) : x) + tail(x); }
