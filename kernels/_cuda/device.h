// What a .cu file may use beside plain C++: the dialect that two compilers take, NVIDIA's for a GPU and the host's.
//
//   TG_KERNEL(name, threads, parameters...) { ... }   a kernel, for blocks of at most `threads` threads
//   __shared__ T part[64];                            shared memory; in a kernel only, not in a function or a template
//   TG_DYN_SHARED(T, part);                           shared memory whose size the launch says
//   __syncthreads()                                   reached by all threads of a block, at one line, or by none
//   tg_shfl_down(v, n), tg_shfl_xor(v, mask)          v of another lane of the warp, at most 8 bytes wide
//   tg_ballot(p)                                      a bit for each lane of the warp: where p holds
//   fma(a, b, c)                                      rounded once; neither compiler contracts anything else
//
// No <<<>>>, textures, inline PTX, atomics on floats, or address of threadIdx.  `source.py` puts this text and the types
// (#define T float, #define T_IS_FLOAT 1) before a file, and expands its #include of the headers beside this one.

#ifndef TG_HOST
// at least 1 block a multiprocessor: else ptxas spills registers to have room for four
#define TG_KERNEL(name, threads, ...) extern "C" __global__ void __launch_bounds__(threads, 1) name(__VA_ARGS__)
#define TG_DYN_SHARED(type, name)                               \
    extern __shared__ __align__(16) unsigned char tg_dynamic[]; \
    type* name = reinterpret_cast<type*>(tg_dynamic)

template <class V> __device__ __forceinline__ V tg_shfl_down(V v, unsigned n) {
    return __shfl_down_sync(0xffffffffu, v, n);
}
template <class V> __device__ __forceinline__ V tg_shfl_xor(V v, unsigned mask) {
    return __shfl_xor_sync(0xffffffffu, v, mask);
}
__device__ __forceinline__ unsigned tg_ballot(bool p) { return __ballot_sync(0xffffffffu, p); }
__device__ __forceinline__ double tg_infinity() { return __longlong_as_double(0x7ff0000000000000LL); }
#endif

typedef long long index_t;  // of an entry: an array may hold more than 2^31

template <class V> __device__ __forceinline__ V tg_min(V a, V b) { return b < a ? b : a; }
template <class V> __device__ __forceinline__ bool tg_finite(V v) { return v - v == v - v; }
