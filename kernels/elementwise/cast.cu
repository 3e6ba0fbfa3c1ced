// The same numbers as another type, for every pair of the six types that a Tensor holds.
//
// What an integer cannot hold is undefined, as in C: a GPU takes the nearest one, a CPU another.
// Traffic: one read and one write, 2 to 16 bytes an entry; no arithmetic but the conversion.  Blocks as in elementwise.cu.
#define THREADS 256
#define EACH 4

typedef unsigned char unsigned_char;  // D(x) takes a type of one word

#define CAST(from, S, to, D)                                                                   \
    TG_KERNEL(cast_##from##_##to, THREADS, const S* x, D* y, index_t n) {                      \
        const index_t first = index_t(blockIdx.x) * (THREADS * EACH) + threadIdx.x;            \
        _Pragma("unroll") for (int k = 0; k < EACH; k++)                                       \
            if (first + k * THREADS < n) y[first + k * THREADS] = D(x[first + k * THREADS]);   \
    }
#define CASTS(to, D)                  \
    CAST(bool, bool, to, D)           \
    CAST(uint8, unsigned char, to, D) \
    CAST(int32, int, to, D)           \
    CAST(int64, long long, to, D)     \
    CAST(float32, float, to, D)       \
    CAST(float64, double, to, D)

CASTS(bool, bool)
CASTS(uint8, unsigned_char)
CASTS(int32, int)
CASTS(int64, index_t)
CASTS(float32, float)
CASTS(float64, double)
