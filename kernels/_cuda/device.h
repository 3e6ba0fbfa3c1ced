// What a .cu file may use beside plain C++: the dialect that two compilers take, NVIDIA's for a GPU and the host's.
//
//   TG_KERNEL(name, threads, parameters...) { ... }   a kernel, for blocks of at most `threads` threads
//   TG_KERNEL_OF(blocks, name, threads, ...) { ... }  the same, its registers so few that a multiprocessor has `blocks`
//   __shared__ T part[64];                            shared memory; in a kernel only, not in a function or a template
//   TG_DYN_SHARED(T, part);                           shared memory whose size the launch says
//   __syncthreads()                                   reached by all threads of a block, at one line, or by none
//   tg_shfl_down(v, n), tg_shfl_xor(v, mask)          v of another lane of the warp, at most 8 bytes wide
//   tg_ballot(p)                                      a bit for each lane of the warp: where p holds
//   tg_tf32(x)                                        x rounded to TF32: 10 bits of mantissa, half away from zero
//   tg_mma_tf32(c, a, b)                              c (16, 8) += a (16, 8) b (8, 8) by a warp; a and b are rounded so
//   fma(a, b, c)                                      rounded once; neither compiler contracts anything else
//
// Of tg_mma_tf32's matrices lane 4 g + t holds a at (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4), b at (t, g),
// (t + 4, g), and c at (g, 2 t), (g, 2 t + 1), (g + 8, 2 t), (g + 8, 2 t + 1).
//
// No <<<>>>, textures, inline PTX but here, atomics on floats, or address of threadIdx.  `source.py` puts this text and
// the types (#define T float, #define T_IS_FLOAT 1) before a file, and expands its #include of the headers beside it.

#ifndef TG_HOST
// at least 1 block a multiprocessor: else ptxas spills registers to have room for four
#define TG_KERNEL(name, threads, ...) TG_KERNEL_OF(1, name, threads, __VA_ARGS__)
#define TG_KERNEL_OF(blocks, name, threads, ...) \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name(__VA_ARGS__)
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

// PTX ISA, "cvt" and "Matrix Fragments for mma.m16n8k8", .tf32; by PTX, for NVRTC may be without mma.h.  "The
// accumulation order, rounding and handling of subnormal inputs are unspecified": an architecture has bits of its own.
__device__ __forceinline__ float tg_tf32(float x) {
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return __uint_as_float(rounded);
}
__device__ __forceinline__ void tg_mma_tf32(float (&c)[4], const float (&a)[4], const float (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}

__device__ __forceinline__ double tg_infinity() { return __longlong_as_double(0x7ff0000000000000LL); }
#endif

typedef long long index_t;  // of an entry: an array may hold more than 2^31

template <class V> __device__ __forceinline__ V tg_min(V a, V b) { return b < a ? b : a; }
template <class V> __device__ __forceinline__ bool tg_finite(V v) { return v - v == v - v; }
